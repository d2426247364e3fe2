# The commands of the project; `make` alone lists them. Needs a Python from 3.11 to 3.13, make, and the network once.
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2
# tools/bootstrap.py finds a Python that suits; PYTHON=/path/to/python3.12 names it.
NO_PYTHON = $(error No Python found. Debian, Ubuntu: apt-get install python3 python3-venv; macOS: xcode-select --install)
STARTER = $(or $(shell command -v python3),$(PYTHON),$(NO_PYTHON))
CHOICE = $(if $(PYTHON),--python $(PYTHON)) $(if $(LOCKED),--locked)
BOOTSTRAP = $(STARTER) tools/bootstrap.py --venv $(VENV) $(CHOICE)
BASE := $(VENV)/.base$(if $(LOCKED),-locked)
PLAIN := $(VENV)/.plain$(if $(LOCKED),-locked)
DEV := $(VENV)/.dev$(if $(LOCKED),-locked)
DOCS := $(VENV)/.docs
PAGE := hemidiaphragm_nb/static/page
# a Python with onnxruntime prepares the page's network: it starts sooner then
PAGE_PYTHON = $(if $(wildcard $(BIN)/python),$(abspath $(BIN))/python,python3)
PAGE_SOURCES := $(wildcard web/*.* web/src/* web/examples/* hemidiaphragm_nb/static/viewer.*) hemidiaphragm_nb/weights/default/fast.onnx tools/page_files.py tools/page_facts.py
RECIPE := settings.ini setup.py pyproject.toml tools/bootstrap.py $(if $(LOCKED),requirements.lock)

export PYTHONUTF8 := 1
export PIP_USER := 0
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

.PHONY: help demo test format lab env docs readme page screenshot readers lock hooks clean distclean

help:  ## list these commands
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## (.*)/  make \1	\2/' | expand -t 18

demo: $(BASE)  ## predict with the shipped network, then train one beside it: results in demo/
	@[ -e $(PLAIN) ] || $(BIN)/hemidiaphragm demo --shipped --out demo  # before torch comes
	@$(MAKE) --no-print-directory $(PLAIN)
	$(BIN)/hemidiaphragm demo --out demo

test: $(DEV)  ## run everything that proves the project, WORKERS=2 tests at a time
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations 15 $(ARGS)

format: $(DEV)  ## format notebooks, tests and scripts, and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

LAB_SETTINGS := $(VENV)/share/jupyter/lab/settings/overrides.json

$(LAB_SETTINGS): $(DEV)
	mkdir -p $(@D)
	echo '{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}}' > $@

lab: $(DEV) $(LAB_SETTINGS)  ## open JupyterLab at index.ipynb; it asks no other machine for news or updates
	$(BIN)/jupyter-lab --LabApp.default_url=/lab/tree/index.ipynb $(if $(filter 0,$(shell id -u)),--allow-root)

env: $(DEV)  ## make the whole environment, nothing else (LOCKED=1: the versions of requirements.lock)

docs: $(DEV) $(DOCS)  ## build the documentation site in _docs/
	$(BIN)/python -m tools.build_docs

readme: $(DEV)  ## write README.md from index.ipynb
	$(BIN)/python -m tools.make_readme

page: $(PAGE)/index.html  ## build the page that predicts in the browser (Node, npm): `hemidiaphragm page` opens it

$(PAGE)/index.html: $(PAGE_SOURCES)
	@command -v npm >/dev/null || { echo "The page is built by npm, which is not here. Debian, Ubuntu: apt-get install npm; macOS: brew install node"; exit 1; }
	cd web && npm ci --ignore-scripts && PYTHON="$(PAGE_PYTHON)" npm run build

screenshot: $(DEV)  ## make images/app.png: the app with a phantom, in headless Chromium
	$(BIN)/python -m pytest tests/test_app.py -k voila --screenshot images/app.png

readers: .readers/bin/segimage2itkimage  ## two readers of DICOM objects, in an environment of their own: tests use them

.readers/bin/segimage2itkimage:
	$(STARTER) -m venv .readers
	.readers/bin/python -m pip install -q dcmqi==1.5.7
	.readers/bin/python -m pip install -q pydicom-seg==0.4.1 "pydicom<3" "setuptools<81" || echo "pydicom-seg does not install here"

lock: $(DEV)  ## write requirements.lock and LICENCES.md from this environment
	$(BIN)/python -m tools.requirements --lock
	$(BIN)/python -m tools.licences

hooks: $(DEV)  ## set up the notebook hooks of git in this clone
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/nbdev-install-hooks
	git config --local merge.jupyternotebook.driver "'$(abspath $(BIN))/nbdev-merge' %O %A %B %P"
	git config --local diff.jupyternotebook.command "'$(abspath $(BIN))/nbdev-diff-driver'"

clean:  ## remove what the commands above made, but not the environment
	rm -rf $(PAGE) demo build dist _docs _proc *.egg-info .coverage* .hypothesis .pytest_cache .ruff_cache nbs/.hypothesis nbs/.last_checked
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean  ## remove the environment too
	rm -rf $(VENV) .readers web/node_modules

$(BASE): $(RECIPE)
	@$(BOOTSTRAP)
	@touch $@

$(PLAIN): $(RECIPE)
	@$(BOOTSTRAP) --extras train
	@touch $@ $(BASE)

$(DEV): $(RECIPE)
	@$(BOOTSTRAP) --extras dev
	@touch $@ $(PLAIN) $(BASE)

$(DOCS): $(RECIPE)
	@$(BOOTSTRAP) --extras docs
	@touch $@
