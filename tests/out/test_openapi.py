"""The document is OpenAPI 3.1, names the routes that there are, and a fuzzer finds the running daemon to keep to it."""

import json
import subprocess
import sys
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import skipUnless

import treq
from twisted.internet.threads import deferToThread

from bfxtwist import __version__
from bfxtwist.exchange.simulated import SimulatedMarket
from tests.running import LISTEN, RunningDaemon, WholeTest, books

validator: Any = import_module("openapi_spec_validator") if find_spec("openapi_spec_validator") else None

#: What is no interface for programs that speak HTTP.
OTHERS = {"/", "/ws/2"}

#: Examples of each operation. The seed makes the run the same each time.
EXAMPLES, SEED = 40, 7


class DocumentTest(WholeTest):
    async def the_daemon(self) -> RunningDaemon:
        return await self.daemon(await self.exchange(SimulatedMarket(3)), books("BTC/USD"))

    async def document(self, running: RunningDaemon) -> Any:
        return json.loads((await running.get("/openapi.json"))[1])

    @skipUnless(validator, "openapi-spec-validator is not here")
    async def test_it_is_openapi(self) -> None:
        validator.validate(await self.document(await self.the_daemon()))

    async def test_it_names_the_routes_that_there_are(self) -> None:
        running = await self.the_daemon()
        routes = {path for path in running.daemon.web.api.paths if path not in OTHERS and not path.startswith("/page/")}
        self.assertEqual(routes, set((await self.document(running))["paths"]))

    async def test_it_tells_of_an_entity_tag_wherever_there_is_one(self) -> None:
        running = await self.the_daemon()
        for path, item in (await self.document(running))["paths"].items():
            told = "ETag" in item["get"]["responses"]["200"].get("headers", ())
            self.assertEqual(told, "304" in item["get"]["responses"], path)
            response = await treq.get(f"{running.daemon.web.addresses[0]}{path}", persistent=False)
            if response.code == 200:
                self.assertEqual(told, response.headers.hasHeader("ETag"), path)

    async def test_it_is_of_this_version(self) -> None:
        self.assertEqual((await self.document(await self.the_daemon()))["info"]["version"], __version__)


class FuzzTest(WholeTest):
    timeout = 240

    @skipUnless(find_spec("schemathesis"), "schemathesis is not here")
    async def test_a_fuzzer_finds_nothing(self) -> None:
        words = ("-p", "BTC/USD", "-c", "book,trades", "--demo", *LISTEN, "-f", self.mktemp())
        daemon = self.twistd("bfx", *words)
        url = await self.is_ready(daemon)
        # It has one pair, since with several a request without one is answered 400. What it is asked is ready: to a fuzzer
        # every 503 is a fault of the server.
        fuzzing = [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json", "--checks", "all"),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES), "--seed", str(SEED)),
            *("--generation-database", "none", "--no-color"),
        ]
        folder = TemporaryDirectory()  # it keeps what it found there
        self.addCleanup(folder.cleanup)
        run = partial(subprocess.run, fuzzing, capture_output=True, text=True, check=False, cwd=folder.name)
        result = await deferToThread(run)
        self.assertEqual(result.returncode, 0, f"{result.stdout[-6000:]}\n{result.stderr[-2000:]}")
        self.assertNotIn("Traceback", daemon.said)
