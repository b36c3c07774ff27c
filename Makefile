# make demo   runs the daemon on the embedded exchange; make test runs the whole check. Each sets up what it needs.
#             Where port 8080 is taken: make demo LISTEN=tcp:8081:interface=127.0.0.1

PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
LISTEN ?= tcp:8080:interface=127.0.0.1
PEERS   = .venv-peers

.PHONY: demo test unit lint wheel peers soak bench clean

demo: $(VENV)/.installed
	$(BIN)/twistd -n --pidfile= bfx --demo --listen $(LISTEN) \
	    --pair BTC/USD --pair ETH/USD --channel book --channel trades --file-path demo-data/

test: lint unit wheel

unit: $(VENV)/.checks
	$(if $(CI),,-)$(MAKE) -k peers
	BFXTWIST_BFXAPI_PYTHON="$(CURDIR)/$(PEERS)/bfxapi/bin/python" BFXTWIST_CCXT_PYTHON="$(CURDIR)/$(PEERS)/ccxt/bin/python" \
	    $(BIN)/python -m twisted.trial --jobs 2 tests

lint: $(VENV)/.checks
	$(BIN)/ruff check .
	$(BIN)/mypy

# The wheel is what users install: twistd must find both commands in it, and the demo must run from it.
wheel: $(VENV)/.checks
	rm -rf dist
	$(BIN)/python -m build --wheel --outdir dist . >/dev/null
	$(BIN)/python tests/wheel_check.py dist/*.whl

# The real daemon under a fault every 20 to 60 s, for as long as it is told: make soak MINUTES=30 SEED=1
MINUTES ?= 30
SEED    ?= 1
soak: $(VENV)/.checks
	$(BIN)/python -m tests.soak --minutes $(MINUTES) --seed $(SEED)

# Side by side with other clients, each in an environment of its own: make bench, or make bench QUICK=1 (five minutes)
bench: $(VENV)/.checks
	$(BIN)/python -m tests.bench $(if $(QUICK),--quick)

# Other people's clients, run against the embedded exchange. Where they cannot be installed their tests skip; not in CI.
peers: $(PEERS)/bfxapi/.installed $(PEERS)/ccxt/.installed
$(PEERS)/bfxapi/.installed: CLIENT = bitfinex-api-py==4.0.0
$(PEERS)/ccxt/.installed:   CLIENT = ccxt==4.5.90
$(PEERS)/%/.installed:
	rm -rf $(@D)
	{ $(PYTHON) -m venv $(@D) && $(@D)/bin/pip install -q '$(CLIENT)'; } || { rm -rf $(@D); exit 1; }
	touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bfxtwist needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml
	$(BIN)/pip install -q -e .
	touch $@

$(VENV)/.checks: $(VENV)/.installed pyproject.toml
	$(BIN)/pip install -q -e '.[test,check]'
	touch $@

clean:
	rm -rf $(VENV) $(PEERS) .venv-bench build dist demo-data _trial_temp* .mypy_cache .ruff_cache .hypothesis
