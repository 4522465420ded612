# Two commands matter: `make run` and `make test`. Both set up .venv by themselves and again after a change
# of pyproject.toml, constraints.txt or requirements-nodeps.txt. Another interpreter: `make run PYTHON=python3.12`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check --constraint constraints.txt
FAMILIES := calm_v1 engram_v1 rssm_v1 rvq_ar_v1
ROWS := $(addprefix --submission ,raw_ar_v1 $(FAMILIES) raw_ar_fm_v1 raw_ar_flow_v1 ae_phase1 rssm_note_v1 rssm_ae_v1 engram_no_memory_active_v1 \
	$(patsubst submissions/%.toml,%,$(sort $(wildcard submissions/control_*.toml))))

.DELETE_ON_ERROR:
.PHONY: run test lint docs report selftest figures records generation codecs clean

run: $(VENV)/.installed-run
	@$(BIN)/bench run --submission rssm_v1

test: $(VENV)/.installed-test
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile

lint: $(VENV)/.installed-test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# the documentation's site, into build/site
docs: $(VENV)/.installed-test
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

# the committed rows as a site, into build/report
report: $(VENV)/.installed-test
	@$(BIN)/bench report --html build/report

# the estimators against known answers, up to an hour; what is cached is not measured again
selftest: $(VENV)/.installed-test
	@$(BIN)/bench selftest --preset full --write docs/selftest.md --overview README.md \
		--outcome bench/calibration/passed.json
	@$(BIN)/python scripts/write_task_pages.py

figures: $(VENV)/.installed-test
	@$(BIN)/python scripts/draw_figures.py
	@$(BIN)/python benchmarks/coverage.py --write docs/coverage.md

# the committed rows, and what is made from them: the README's tables, the whole leaderboard, the families' page
records: $(VENV)/.installed-run
	@$(BIN)/bench run $(ROWS) --records leaderboard/records
	@$(BIN)/bench run $(addprefix --submission ,raw_ar_v1 $(FAMILIES)) --seed 1 --records leaderboard/records
	@$(BIN)/bench run --submission rvq_ar_v1 --suite codes --records leaderboard/records
	@$(BIN)/bench run $(addprefix --submission ,raw_ar_v1 $(FAMILIES) control_copy_last control_marginal) --suite quick --records leaderboard/records
	@$(BIN)/bench calibrate-noise --suite mini --write tasks/suites/noise/mini.toml
	@$(BIN)/bench leaderboard --suite mini --brief --format md --write README.md
	@$(BIN)/bench leaderboard --format md --write docs/leaderboard.md
	@$(BIN)/bench findings --write docs/baselines.md
	@$(BIN)/bench list tasks --format md --write README.md

# what is heard of the same models and of one that speaks, and the tables and the figure made from it
generation: $(VENV)/.installed-test
	@$(BIN)/bench run $(ROWS) --submission raw_ar_text_v1 --suite generation --records leaderboard/records
	@$(BIN)/bench run $(addprefix --submission ,raw_ar_v1 $(FAMILIES)) --suite generation --seed 1 --records leaderboard/records
	@$(BIN)/bench calibrate-noise --suite generation --write tasks/suites/noise/generation.toml
	@$(BIN)/bench leaderboard --format md --write docs/leaderboard.md
	@$(BIN)/bench heard --write docs/generation.md --figure docs/figures/generation.svg
	@$(BIN)/bench heard --brief --write README.md

# codecs side by side, and the page made from them; `DATASET=folder:PATH` for other recordings than synthspeech
codecs: $(VENV)/.installed-test
	@$(BIN)/bench run --codecs minicodec,minicodec@rvq4,melpca,soundstream,soundstream@46,soundstream@30,soundstream@16 \
		$(if $(DATASET),--dataset $(DATASET)) --records leaderboard/records
	@$(BIN)/bench codecs --format md --write docs/codecs.md --figure docs/figures/codecs.svg

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "expected Python 3.10 or newer, got $$($(PYTHON) -V 2>&1); name another: make PYTHON=python3.12" >&2; exit 1; }
	@echo "setting up $(VENV), a few minutes"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed-run: $(VENV)/.created pyproject.toml constraints.txt
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed-run requirements-nodeps.txt
	@$(PIP) --editable '.[dev]'
	@$(PIP) --no-deps --requirement requirements-nodeps.txt
	@touch $@
