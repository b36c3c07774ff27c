// Milliseconds that go on while the machine sleeps. performance.now() stands still then, except on Windows (w3c/hr-time #115):
// an old book would look live for as long as silence is bearable. The wall clock goes on, but may be set.

/** A wall clock that is so many ms ahead at once was not just adjusted: the machine slept, or somebody has set it. */
const SLEPT = 5000;

export class Clock {
  /** `steady()` and `wall()` are in ms. */
  constructor(steady = () => performance.now(), wall = () => Date.now()) {
    this.steady = steady;
    this.wall = wall;
    this.apart = wall() - steady();
    this.slept = 0; // in all, in ms
  }

  now() {
    const steady = this.steady();
    const apart = this.wall() - steady;
    if (apart - this.apart > SLEPT) this.slept += apart - this.apart;
    this.apart = apart;
    return steady + this.slept;
  }
}
