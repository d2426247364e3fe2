# The commands of the project; `make` alone lists them. Needs a Python from 3.11 to 3.13, make, and the network once.
VENV ?= .venv
BIN := $(VENV)/bin
# Any Python can start tools/bootstrap.py, which finds one that suits; PYTHON=/path/to/python3.12 names it.
STARTER := $(or $(PYTHON),$(firstword $(foreach name,python3 python3.13 python3.12 python3.11 python,$(shell command -v $(name)))))
BOOTSTRAP = $(if $(STARTER),$(STARTER) tools/bootstrap.py --venv $(VENV) $(if $(PYTHON),--python $(PYTHON)) $(if $(LOCKED),--locked),$(error No Python found: install one from 3.11 to 3.13, or name it with PYTHON=))
PLAIN := $(VENV)/.plain$(if $(LOCKED),-locked)
DEV := $(VENV)/.dev$(if $(LOCKED),-locked)
DOCS := $(VENV)/.docs
RECIPE := settings.ini setup.py pyproject.toml tools/bootstrap.py $(if $(LOCKED),requirements.lock)

export PYTHONUTF8 := 1
export PIP_USER := 0
unexport PYTHONPATH PYTHONHOME

.PHONY: help demo test lab env docs readme screenshot lock hooks clean distclean

help:  ## list these commands
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## (.*)/  make \1	\2/' | expand -t 18

demo: $(PLAIN)  ## train on the phantom, evaluate and predict: results in demo/
	$(BIN)/hemidiaphragm demo --out demo

test: $(DEV)  ## run everything that proves the project
	@$(BIN)/python tools/run_tests.py

lab: $(DEV)  ## open JupyterLab at index.ipynb
	$(BIN)/jupyter-lab --LabApp.default_url=/lab/tree/index.ipynb $(if $(filter 0,$(shell id -u)),--allow-root)

env: $(PLAIN)  ## make the environment only (LOCKED=1: the versions of requirements.lock)

docs: $(DEV) $(DOCS)  ## build the documentation site in _docs/
	$(BIN)/python tools/build_docs.py

readme: $(DEV)  ## write README.md from index.ipynb
	$(BIN)/python tools/make_readme.py

screenshot: $(DEV)  ## make images/app.png: the app with a phantom, in headless Chromium
	$(BIN)/python tools/app_browser.py --picture images/app.png

lock: $(DEV)  ## write requirements.lock from this environment
	$(BIN)/python tools/requirements.py --lock

hooks: $(DEV)  ## set up the notebook hooks of git in this clone
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/nbdev-install-hooks
	git config --local merge.jupyternotebook.driver "'$(abspath $(BIN))/nbdev-merge' %O %A %B %P"
	git config --local diff.jupyternotebook.command "'$(abspath $(BIN))/nbdev-diff-driver'"

clean:  ## remove what the commands above made, but not the environment
	rm -rf demo build dist _docs _proc *.egg-info .coverage* .hypothesis nbs/.hypothesis nbs/.last_checked
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean  ## remove the environment too
	rm -rf $(VENV)

$(PLAIN): $(RECIPE)
	@$(BOOTSTRAP)
	@touch $@

$(DEV): $(RECIPE)
	@$(BOOTSTRAP) --extras dev,lab
	@touch $@ $(PLAIN)

$(DOCS): $(RECIPE)
	@$(BOOTSTRAP) --extras docs
	@touch $@
