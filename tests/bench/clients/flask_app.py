"""GET /book from Flask: bytes made ready once, so that only the server is measured. `app` is for gunicorn."""

import os

from flask import Flask, Response

app = Flask(__name__)
with open(os.environ["BENCH_BODY"], "rb") as file:
    BODY = file.read()


@app.get("/book")
def book():
    return Response(BODY, mimetype="application/json")


if __name__ == "__main__":
    import logging

    logging.getLogger("werkzeug").disabled = True
    app.run(port=int(os.environ["BENCH_PORT"]), threaded=True)
