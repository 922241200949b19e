# Thin over pip, pytest, jupyter and python -m zsar_lab; the README gives the plain commands too.
PYTHON ?= python3
BIN := .venv/bin
# small maps are faster on one thread each than on threads that wait for one another
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-full test-browser readme lint lab docs clean

demo: .venv/installed
	$(BIN)/python -m zsar_lab demo
	ZSAR_LAB_PICTURES=1 $(BIN)/jupyter nbconvert --to notebook --execute --ExecutePreprocessor.store_widget_state=False --output-dir executed notebooks/*.ipynb
	$(BIN)/jupyter nbconvert --coalesce-streams executed/0*.ipynb
	@echo "Executed notebooks lie in executed; 'make lab' opens JupyterLab."

test: .venv/installed
	$(BIN)/pytest -p no:nbmake -n 2 --dist loadfile --no-loadscope-reorder -m "not long" tests
	$(BIN)/pytest -p no:nbmake -n 2 --dist loadfile --no-loadscope-reorder -m long tests
	$(BIN)/pytest --nbmake --nbmake-timeout=1200 notebooks

# what make test leaves out: minutes of kills, ranks and simulations; results are noted in benchmarks/LOG.md
test-full: .venv/installed
	ZSAR_LAB_SLOW=1 $(BIN)/pytest -p no:nbmake -n 2 --dist loadfile --no-loadscope-reorder tests

lint: .venv/installed
	$(BIN)/pip install -c constraints.txt -e ".[lint]"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-browser: .venv/installed
	$(BIN)/pip install -c constraints.txt -e ".[lab,demo,test,browser]"
	$(BIN)/python -m zsar_lab demo
	ZSAR_LAB_BROWSER=1 $(BIN)/pytest -p no:nbmake tests/browser

# the tables and pictures of README and docs, made anew: some 40 minutes
readme: test-browser
	$(BIN)/python -m zsar_lab demo --protocol stratified-10..12 random-10 --workspace runs/table
	$(BIN)/python benchmarks/write_tables.py runs/table/report.json
	cd executed/screenshots && cp map.png class_errors.png own_videos.png transfer_explorer.png ../../docs/pictures

lab: .venv/installed
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks/01_prepare_data.ipynb

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -c constraints.txt -e ".[lab,demo,test]"
	touch $@

docs: .venv/installed
	$(BIN)/pip install -c constraints.txt -e ".[docs]"
	$(BIN)/zensical build
	$(BIN)/python docs/add_notebooks.py
	@echo "The guide and the API are described in executed/site/index.html."

clean:
	rm -rf runs/demo executed .venv
