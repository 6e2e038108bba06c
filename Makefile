# Two commands set everything up on a machine with Python and make: `make run` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
STAMP := $(VENV)/.installed

.PHONY: run test test-user lint soak bench clean
.DEFAULT_GOAL := run

PIP := $(BIN)/pip --quiet --disable-pip-version-check

# What the server needs, and then what is needed to work on it.
$(RUNS): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade "pip>=25.1"
	$(PIP) install --editable .
	touch $(RUNS)

$(STAMP): $(RUNS)
	$(PIP) install --editable . --group dev
	touch $(STAMP)

# The main job: a WSGI application on threads, at http://127.0.0.1:8080/.
run: $(RUNS)
	cd apps && exec ../$(BIN)/container --wsgi=helloworld.application

test: $(STAMP)
	$(BIN)/python -m pytest -m "not soak" -n auto --dist loadfile

# For root: the tests of whatever runs programs once more, as a user who has no rights to drop.
test-user: $(STAMP)
	.ci/as-user -n auto --dist loadfile tests/conformance/test_matrix.py $(addprefix tests/resources/, \
	  test_asis.py test_cgi.py test_cgi_processes.py test_handler.py test_handler_deadline.py test_responder.py \
	  test_script.py test_script_directory.py) $(addprefix tests/system/, test_awstats.py test_cgi.py \
	  test_dokuwiki.py test_front_controller.py test_gitweb.py test_migrating.py test_php_fpm.py test_scripts.py)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The long drills: fuzzing with many examples, gigabyte uploads, ten thousand connections.
soak: $(STAMP)
	$(BIN)/python -m pytest -m soak

# In memory first, then over loopback against peers in a venv of their own.
bench: $(STAMP)
	$(BIN)/python benchmarks/throughput.py --rounds 3
	$(BIN)/python benchmarks/price.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis apps/var apps/djangosite/var
