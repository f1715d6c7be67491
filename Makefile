# Tenon's build. `make help` lists the targets.
#
# Sources are found by folder, so a new file needs no line here. A folder that needs more (a
# generated header, another library) says so in a `build.mk` of its own, which is included below:
#   LIBS += -lfoo              libraries that libtenon needs
#   GENERATED += $(GEN)/x.h    files to be made before anything is compiled, with their rules
#   GENERATED_SRC += $(GEN)/x.c
#
# Every mode has its own build folder: build (default), build/asan, build/coverage,
# build/hostile (MALLOC=hostile), build/fuzz, build/faults (FAULTS=1).

VERSION := 0.1.0
SOVERSION := 0

.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:

# ---- Modes ---------------------------------------------------------------------------------

ifeq ($(origin CC),default)
CC := gcc
endif
AR ?= ar
MODE ?= $(if $(filter hostile,$(MALLOC)),hostile,$(if $(FAULTS),faults,default))
OPT ?= -O2 -g

BUILD_default := build
BUILD_asan := build/asan
BUILD_coverage := build/coverage
BUILD_hostile := build/hostile
BUILD_fuzz := build/fuzz
BUILD_faults := build/faults

FLAGS_asan := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FLAGS_coverage := -O0 --coverage
FLAGS_hostile := -DTN_HOSTILE_MALLOC
FLAGS_faults := -g0 -DTN_FAULTS
FLAGS_fuzz := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

BUILD := $(BUILD_$(MODE))
ifeq ($(BUILD),)
$(error MODE=$(MODE) is none of default, asan, coverage, hostile, fuzz, faults)
endif
GEN := build/gen

# `make V=1` shows the commands.
Q := $(if $(V),,@)
say = $(if $(V),,@echo '$(1)')

# Commands of the README build on all processors even without -j.
PARALLEL = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

# ---- Flags ---------------------------------------------------------------------------------

LLVM_CONFIG ?= $(firstword $(foreach v,22 21 20 19,$(shell command -v llvm-config-$(v) 2>/dev/null)))
ifneq ($(LLVM_CONFIG),)
LLVM_LIBS := $(shell $(LLVM_CONFIG) --link-shared --ldflags --libs)
LLVM_CFLAGS := -isystem $(shell $(LLVM_CONFIG) --includedir) -D__STDC_CONSTANT_MACROS -D__STDC_FORMAT_MACROS -D__STDC_LIMIT_MACROS
endif

# gcc's plain -Wshadow also counts a local that is named like a type.
WARNINGS := -Wall -Wextra -Wpedantic $(if $(findstring clang,$(CC)),-Wshadow,-Wshadow=local)
WERROR ?= -Werror
INCLUDES := -I. -Iruntime -Iir -Icompiler -Ifrontends -Ifrontends/data -Ifrontends/onnx -Ifrontends/nn -Ifrontends/explain -I$(GEN)
# No contraction of a * b + c: what the sources say is what is computed.
TN_CFLAGS = -std=c11 -D_GNU_SOURCE $(OPT) $(FLAGS_$(MODE)) $(WARNINGS) $(WERROR) -ffp-contract=off \
	-fPIC -fvisibility=hidden -pthread -DTN_VERSION='"$(VERSION)"' $(INCLUDES) $(CPPFLAGS) $(CFLAGS)
TN_LDFLAGS = -pthread $(FLAGS_$(MODE)) $(LDFLAGS)
LIBS = $(if $(LAZY_LLVM),,$(LLVM_LIBS)) -lm -ldl
# Of tests that call LLVM themselves, too.
TEST_LIBS ?= $(if $(LAZY_LLVM),-Wl$(comma)--as-needed $(LLVM_LIBS))
BENCH_LIBS ?= $(TEST_LIBS)
comma := ,

# ---- Sources -------------------------------------------------------------------------------

RT_SRC := $(wildcard runtime/*.c)
LIB_SRC := $(RT_SRC) $(wildcard ir/*.c compiler/*.c compiler/passes/*.c compiler/loops/*.c compiler/codegen/*.c) \
	$(filter-out frontends/cli/%,$(wildcard frontends/*/*.c))
CLI_SRC := $(wildcard frontends/cli/*.c)
TEST_SRC := $(wildcard tests/*.c)
TESTLIB_SRC := $(wildcard tests/lib/*.c)
FUZZ_SRC := $(wildcard tests/fuzz/*.c)
BENCH_SRC := $(wildcard benchmarks/micro/*.c)
EXAMPLE_SRC := $(wildcard docs/examples/*.c)
TEST_SCRIPTS := $(wildcard tests/*.sh)
# Needs root, a network and minutes; run by hand.
TEST_SCRIPTS := $(filter-out tests/fresh-machine.sh,$(TEST_SCRIPTS))

PUBLIC_HEADERS := $(wildcard runtime/tenon*.h ir/tenon*.h compiler/tenon*.h frontends/tenon.h frontends/*/tenon*.h \
	runtime/dlpack.h runtime/dtypes.def ir/ops.def)

GENERATED :=
GENERATED_SRC :=
-include $(wildcard runtime/build.mk ir/build.mk compiler/build.mk compiler/*/build.mk frontends/*/build.mk)

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
LIB_OBJ := $(call objects,$(LIB_SRC) $(GENERATED_SRC)) $(LLVM_STUBS)
RT_OBJ := $(call objects,$(RT_SRC))
CLI_OBJ := $(call objects,$(CLI_SRC))
TESTLIB_OBJ := $(call objects,$(TESTLIB_SRC))
TEST_BIN := $(patsubst tests/%.c,$(BUILD)/tests/%,$(TEST_SRC))
FUZZ_REPLAY_BIN := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(FUZZ_SRC))
FUZZ_BIN := $(patsubst tests/fuzz/%.c,build/fuzz/bin/%,$(FUZZ_SRC))
BENCH_BIN := $(BUILD)/bench/micro
TRAINING_BIN := $(BUILD)/bench/training
START_BIN := $(BUILD)/bench/start-tenon $(BUILD)/bench/start-ort
EXAMPLE_BIN := $(patsubst docs/examples/%.c,$(BUILD)/examples/%,$(EXAMPLE_SRC))

# ---- What `make` builds --------------------------------------------------------------------

LIBRARIES := $(BUILD)/libtenon.so $(BUILD)/libtenon.a $(BUILD)/libtenon_rt.a
PROGRAM := $(if $(CLI_SRC),$(BUILD)/tenon)

.PHONY: all
all: $(LIBRARIES) $(PROGRAM)

ifeq ($(LLVM_CONFIG),)
$(LIB_OBJ): need-llvm
.PHONY: need-llvm
need-llvm:
	@echo 'error: no llvm-config-22 to -19 found: `make deps` installs what Tenon needs' >&2; exit 1
endif

# Objects are made again when a flag or the compiler changes.
FLAG_LINE = $(CC) $(TN_CFLAGS) $(LLVM_CFLAGS) $(LLVM_CALLS) $(TN_LDFLAGS) $(LIBS)
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(call quote,$(FLAG_LINE)) | cmp -s - $@ || printf '%s\n' $(call quote,$(FLAG_LINE)) > $@
quote = '$(subst ','\'',$(1))'
.PHONY: FORCE
FORCE:

# Who may include LLVM's headers.
LLVM_USERS = compiler/codegen/% tests/ulp.c tests/vmath.c tests/jit.c tests/lib/kernel_run.c tests/lib/levels.c tests/emit.c \
    tests/targets.c

$(BUILD)/obj/%.o: %.c $(BUILD)/flags | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CC    $<)
	$(Q)$(CC) $(TN_CFLAGS) $(if $(filter $(LLVM_USERS),$<),$(LLVM_CFLAGS)) $(if $(filter compiler/codegen/%,$<),$(LLVM_CALLS)) -MMD -MP -c $< -o $@

# Generated code is not held to our warnings.
$(BUILD)/obj/$(GEN)/%.o: $(GEN)/%.c $(BUILD)/flags | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CC    $<)
	$(Q)$(CC) $(TN_CFLAGS) -w -MMD -MP -c $< -o $@

$(BUILD)/libtenon.a: $(LIB_OBJ)
$(BUILD)/libtenon_rt.a: $(RT_OBJ)
$(BUILD)/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,AR    $@)
	$(Q)$(AR) rcs $@ $^

# Address-sanitised shared objects may have undefined symbols, the program brings them.
$(BUILD)/libtenon.so: $(LIB_OBJ)
	@mkdir -p $(@D)
	$(call say,LINK  $@)
	$(Q)$(CC) -shared -Wl,-soname,libtenon.so.$(SOVERSION) $(if $(filter asan fuzz,$(MODE)),,-Wl,-z,defs) \
		-Wl,--exclude-libs,ALL -Wl,--as-needed $(TN_LDFLAGS) -o $@ $^ $(LIBS)
	@ln -sf libtenon.so $(BUILD)/libtenon.so.$(SOVERSION)

$(BUILD)/tenon: $(CLI_OBJ) $(BUILD)/libtenon.a
	$(call say,LINK  $@)
	$(Q)$(CC) $(TN_LDFLAGS) -o $@ $^ $(LIBS)

# ---- Tests ---------------------------------------------------------------------------------

# An archive: a program gets what it uses.
$(BUILD)/libtests.a: $(TESTLIB_OBJ)

$(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(BUILD)/libtests.a $(BUILD)/libtenon.a
	@mkdir -p $(@D)
	$(call say,LINK  $@)
	$(Q)$(CC) $(TN_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) -lcmocka $(LIBS) $(TEST_LIBS)

# A test of what is in the program itself.
$(BUILD)/tests/aot_train: $(filter-out %/main.o,$(CLI_OBJ))

# The kept corpus runs through each fuzz target in every test run, without a fuzzing engine.
$(BUILD)/tests/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/obj/tests/tools/fuzz_replay.o $(BUILD)/libtenon.a
	@mkdir -p $(@D)
	$(call say,LINK  $@)
	$(Q)$(CC) $(TN_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/examples/%: docs/examples/%.c $(BUILD)/stage/.done
	@mkdir -p $(@D)
	$(call say,LINK  $@)
	$(Q)$(CC) -std=c11 $(OPT) $(FLAGS_$(MODE)) $(WARNINGS) $(WERROR) -I$(BUILD)/stage/include/tenon -o $@ $< \
		$(LDFLAGS) -L$(BUILD)/stage/lib -ltenon -Wl,-rpath,$(CURDIR)/$(BUILD)/stage/lib -lm

.PRECIOUS: $(BUILD)/obj/%.o

TEST_ENV = CC='$(CC)' BUILD='$(BUILD)' MODE='$(MODE)' TENON='$(BUILD)/tenon' \
	ASAN_OPTIONS='detect_leaks=1:allocator_may_return_null=1' LSAN_OPTIONS='suppressions=tests/tools/lsan.supp:print_suppressions=0' \
	UBSAN_OPTIONS='print_stacktrace=1:halt_on_error=1'

# Dependencies first, then a second make that sees the compiler and LLVM they brought.
.PHONY: test test-long asan coverage test-programs run-tests
test:
	@tests/tools/deps.sh test
	@$(MAKE) --no-print-directory $(PARALLEL) test-programs
	@$(MAKE) --no-print-directory run-tests

test-long:
	@TN_LONG=1 $(MAKE) --no-print-directory test

test-programs: all $(TEST_BIN) $(FUZZ_REPLAY_BIN) $(EXAMPLE_BIN) $(BENCH_BIN) $(TRAINING_BIN) $(START_BIN) random-models

run-tests:
	@$(TEST_ENV) tests/tools/run-tests.sh $(TEST_BIN) $(TEST_SCRIPTS)

asan:
	@TEST_TIMEOUT=3600 $(MAKE) --no-print-directory MODE=asan test

coverage:
	@TEST_TIMEOUT=3600 $(MAKE) --no-print-directory MODE=coverage test; status=$$?; tests/tools/coverage.sh build/coverage; exit $$status

# The light_* architectures with seeded random weights. The gain keeps activations near 1.
GAIN_light_resnet50 := 1
GAIN_light_shufflenet := 1
GAIN_light_inception_v1 := 1.6
RANDOM_MODELS := $(patsubst build/models/light_%.onnx,build/models/random_%.onnx,$(wildcard build/models/light_*.onnx))
.PHONY: random-models
random-models: $(RANDOM_MODELS)
build/models/random_%.onnx: build/models/light_%.onnx build/light_random
	$(call say,MAKE  $@)
	$(Q)build/light_random $< $@.new $(GAIN_light_$*) && mv $@.new $@
build/light_random: tests/tools/light_random.c
	@mkdir -p $(@D)
	$(call say,LINK  $@)
	$(Q)$(CC) -std=c11 -O2 $(WARNINGS) $(WERROR) -ffp-contract=off -o $@ $< -lm

# What ONNX Runtime answers for the real models, into tests/models; needs espeak-ng.
.PHONY: references
references:
	@tests/tools/deps.sh test
	@$(MAKE) --no-print-directory random-models
	@tests/tools/venv.sh build/venv-references onnxruntime==1.32.0 numpy pillow scikit-image
	@build/venv-references/bin/python tests/tools/record_references.py

# Test programs that can run what they compile on another machine (TN_MACHINE), under emulation: MACHINES=riscv64 on one
# of them alone. Part of the long mode; `make deps-emulation` installs what it needs.
EMULATED := attention bottleneck contract conv generated join long_rows models random_graphs rows scale share strassen \
    turned weights winograd
TEST_ENV += EMULATED='$(EMULATED)'
.PHONY: check-emulated
check-emulated: all $(EMULATED:%=$(BUILD)/tests/%)
	@TN_LONG=1 $(TEST_ENV) tests/tools/run-tests.sh tests/emulated.sh

# One test alone: `make check-ops` runs tests/ops.c or tests/ops.sh.
check-%: all
	@$(MAKE) --no-print-directory $(if $(wildcard tests/$*.c),$(BUILD)/tests/$*,$(EXAMPLE_BIN) $(FUZZ_REPLAY_BIN))
	@$(TEST_ENV) tests/tools/run-tests.sh $(if $(wildcard tests/$*.c),$(BUILD)/tests/$*,tests/$*.sh)

# ---- Fuzzing: FUZZ_SECONDS each, new inputs go to the kept corpus ---------------------------

FUZZ_SECONDS ?= 600
FUZZ_CC ?= $(firstword $(foreach v,22 21 20 19,$(shell command -v clang-$(v) 2>/dev/null)) clang)
.PHONY: fuzz fuzz-programs
fuzz:
	@tests/tools/deps.sh fuzz
	@$(MAKE) --no-print-directory $(PARALLEL) MODE=fuzz CC=$(FUZZ_CC) fuzz-programs
	@tests/tools/fuzz.sh $(FUZZ_SECONDS) $(FUZZ_BIN)

fuzz-programs: $(FUZZ_BIN)
build/fuzz/bin/%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/libtenon.a
	@mkdir -p $(@D)
	$(call say,LINK  $@)
	$(Q)$(CC) $(TN_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBS)

# ---- Demo, benchmarks ----------------------------------------------------------------------

.PHONY: demo bench-micro bench-programs
demo:
	@tests/tools/deps.sh demo
	@$(MAKE) --no-print-directory $(PARALLEL) $(BUILD)/examples/ocr $(BUILD)/examples/digits
	@echo; $(BUILD)/examples/ocr build/models/ch_PP-OCRv4_rec_infer.onnx docs/examples/page.png
	@echo; $(BUILD)/examples/digits docs/examples/data/digits.csv.gz $(BUILD)

$(BENCH_BIN): $(call objects,$(BENCH_SRC)) $(BUILD)/libtests.a $(BUILD)/libtenon.a
	@mkdir -p $(@D)
	$(call say,LINK  $@)
	$(Q)$(CC) $(TN_LDFLAGS) -o $@ $^ -lcmocka $(LIBS) $(BENCH_LIBS)

$(TRAINING_BIN): $(call objects,$(wildcard benchmarks/training/*.c)) $(BUILD)/libtenon.a
	@mkdir -p $(@D)
	$(call say,LINK  $@)
	$(Q)$(CC) $(TN_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/bench/start-%: $(BUILD)/obj/benchmarks/start/%.o $(BUILD)/obj/benchmarks/start/start.o $(BUILD)/libtenon.a
	@mkdir -p $(@D)
	$(call say,LINK  $@)
	$(Q)$(CC) $(TN_LDFLAGS) -Wl,--as-needed -o $@ $^ $(LIBS)

bench-programs: $(BENCH_BIN) $(TRAINING_BIN) $(START_BIN)
bench-micro:
	@tests/tools/deps.sh test
	@$(MAKE) --no-print-directory $(PARALLEL) all bench-programs
	@$(BENCH_BIN)

# Beside its peers, which come into an environment of their own. BENCH_ARGS: models, --peers, --threads 1, --list, ...
.PHONY: bench
bench:
	@tests/tools/deps.sh test
	@$(MAKE) --no-print-directory -s $(PARALLEL) all random-models
	@VENV_SIZE='about 2 GB with a CPU build of PyTorch' tests/tools/venv.sh build/venv-bench -r benchmarks/requirements.txt
	@build/venv-bench/bin/python benchmarks/bench.py $(BENCH_ARGS)

# Training beside PyTorch and JAX. BENCH_ARGS: models, --peers, --threads 1, ...
.PHONY: bench-training
bench-training:
	@tests/tools/deps.sh test
	@$(MAKE) --no-print-directory -s $(PARALLEL) all $(TRAINING_BIN)
	@VENV_SIZE='about 2 GB with a CPU build of PyTorch' tests/tools/venv.sh build/venv-bench -r benchmarks/requirements.txt
	@build/venv-bench/bin/python benchmarks/training.py $(BENCH_ARGS)

# What deploying a model takes: bytes, cold start, memory, beside others. BENCH_ARGS: --rounds 20, --docs, ...
.PHONY: bench-deploy
bench-deploy:
	@tests/tools/deps.sh test
	@$(MAKE) --no-print-directory -s $(PARALLEL) all $(START_BIN)
	@VENV_SIZE='about 2 GB with a CPU build of PyTorch' tests/tools/venv.sh build/venv-bench -r benchmarks/requirements.txt
	@build/venv-bench/bin/python benchmarks/deploy.py $(BENCH_ARGS)

# From the start of a process to its first output, beside ONNX Runtime. BENCH_ARGS: models, --rounds 11, ...
.PHONY: bench-start
bench-start:
	@tests/tools/deps.sh test
	@$(MAKE) --no-print-directory -s $(PARALLEL) all $(START_BIN)
	@VENV_SIZE='about 2 GB with a CPU build of PyTorch' tests/tools/venv.sh build/venv-bench -r benchmarks/requirements.txt
	@build/venv-bench/bin/python benchmarks/start.py $(BENCH_ARGS)

# ---- Install -------------------------------------------------------------------------------

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
.PHONY: install uninstall
install: all
	install -d $(DESTDIR)$(PREFIX)/include/tenon $(DESTDIR)$(LIBDIR)/pkgconfig
	install -m 644 $(PUBLIC_HEADERS) $(DESTDIR)$(PREFIX)/include/tenon/
	install -m 755 $(BUILD)/libtenon.so $(DESTDIR)$(LIBDIR)/libtenon.so.$(VERSION)
	ln -sf libtenon.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libtenon.so.$(SOVERSION)
	ln -sf libtenon.so.$(SOVERSION) $(DESTDIR)$(LIBDIR)/libtenon.so
	install -m 644 $(BUILD)/libtenon.a $(BUILD)/libtenon_rt.a $(DESTDIR)$(LIBDIR)/
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(LIBDIR))|' -e 's|@VERSION@|$(VERSION)|' -e 's|@LIBS@|$(LIBS)|' \
		tenon.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/tenon.pc
	$(if $(PROGRAM),install -d $(DESTDIR)$(PREFIX)/bin && install -m 755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/)
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 docs/tenon.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -d $(DESTDIR)$(PREFIX)/share/tenon $(DESTDIR)$(LIBDIR)/cmake/tenon
	install -m 644 $(addprefix docs/examples/data/,digits.csv.gz LICENSE.scikit-learn README.md) frontends/make/tenon.mk \
		$(DESTDIR)$(PREFIX)/share/tenon/
	install -m 644 frontends/make/tenon.cmake frontends/make/tenon-config.cmake $(DESTDIR)$(LIBDIR)/cmake/tenon/
	sed -e 's|@VERSION@|$(VERSION)|' frontends/make/tenon-config-version.cmake.in \
		> $(DESTDIR)$(LIBDIR)/cmake/tenon/tenon-config-version.cmake

uninstall:
	rm -rf $(DESTDIR)$(PREFIX)/include/tenon $(DESTDIR)$(LIBDIR)/cmake/tenon $(DESTDIR)$(PREFIX)/share/tenon
	rm -f $(DESTDIR)$(LIBDIR)/libtenon.so* $(DESTDIR)$(LIBDIR)/libtenon.a $(DESTDIR)$(LIBDIR)/libtenon_rt.a \
		$(DESTDIR)$(LIBDIR)/pkgconfig/tenon.pc $(DESTDIR)$(PREFIX)/bin/tenon $(DESTDIR)$(PREFIX)/share/man/man1/tenon.1

# What the examples are compiled against: the headers as a user gets them, and nothing else.
$(BUILD)/stage/.done: $(LIBRARIES) $(PROGRAM) $(PUBLIC_HEADERS) tenon.pc.in docs/tenon.1 $(wildcard frontends/make/*) Makefile
	@rm -rf $(BUILD)/stage
	@$(MAKE) --no-print-directory install PREFIX=$(CURDIR)/$(BUILD)/stage LIBDIR=$(CURDIR)/$(BUILD)/stage/lib DESTDIR= >/dev/null
	@touch $@

# ---- Upkeep --------------------------------------------------------------------------------

OWN_C = $(shell git ls-files '*.c' '*.h')
# Those that include the headers of models.
MODEL_USERS = docs/examples/aot/% benchmarks/deploy/mobilenet.c
# These include headers that tests have `tenon compile` write; the tests build them with warnings as errors.
WITH_GENERATED := tests/tools/aot_entry.c docs/examples/aot/%.c benchmarks/deploy/%.c
CLANG_FORMAT ?= $(firstword $(foreach v,22 21 20 19,$(shell command -v clang-format-$(v) 2>/dev/null)) clang-format)
CLANG_TIDY ?= $(firstword $(foreach v,22 21 20 19,$(shell command -v clang-tidy-$(v) 2>/dev/null)) clang-tidy)
.PHONY: deps deps-emulation deps-debug deps-text format lint docs clean help
deps:
	@tests/tools/deps.sh test

deps-emulation:
	@tests/tools/deps.sh emulation

deps-debug:
	@tests/tools/deps.sh debug

# Shakespeare's plays, build/data/shakespeare.txt, for training on text.
deps-text:
	@tests/tools/fetch-text.sh

format:
	@tests/tools/deps.sh lint
	@$(CLANG_FORMAT) -i $(OWN_C)

lint:
	@tests/tools/deps.sh lint
	@$(MAKE) --no-print-directory lint-run
.PHONY: lint-run
lint-run: $(GENERATED)
	@$(CLANG_FORMAT) --dry-run --Werror $(OWN_C)
	@printf '%s\n' $(filter-out $(WITH_GENERATED),$(filter %.c,$(OWN_C))) | xargs -P 2 -n 8 sh -c \
		'$(CLANG_TIDY) --quiet "$$@" -- -std=c11 -D_GNU_SOURCE $(INCLUDES) -Ibuild/stage/include/tenon $(LLVM_CFLAGS) 2>/dev/null' sh

# The generated references; tests/docs.sh fails when they are stale.
docs: $(PROGRAM)
	$(BUILD)/tenon doc ops > docs/OPS.md.new && mv docs/OPS.md.new docs/OPS.md
	$(BUILD)/tenon doc passes > docs/PASSES.md.new && mv docs/PASSES.md.new docs/PASSES.md

clean:
	rm -rf build/obj build/gen build/asan build/coverage build/hostile build/fuzz build/faults build/tests build/examples build/bench build/stage
	rm -f build/lib*.a build/libtenon* build/tenon build/flags

help:
	@echo 'make               libraries and the tenon program, into build/'
	@echo 'make demo          read text from a picture, learn to read digits (installs what it needs)'
	@echo 'make test          build and run all tests (installs what it needs); test-long: the long mode'
	@echo 'make check-NAME    run tests/NAME.c or tests/NAME.sh alone'
	@echo 'make check-emulated  tests with code for aarch64, emulated (make deps-emulation); part of test-long'
	@echo 'make asan          all tests under AddressSanitizer and UBSan;  coverage: with line counts'
	@echo 'make MALLOC=hostile  the build in which each allocation can be made to fail'
	@echo 'make FAULTS=1      the build in which faults can be planted, for tests of what finds them'
	@echo 'make fuzz          FUZZ_SECONDS (600) on each fuzz target'
	@echo 'make bench         beside other systems (BENCH_ARGS='--list');  bench-micro: micro-benchmarks'
	@echo 'make bench-training  training steps and losses beside PyTorch and JAX'
	@echo 'make bench-deploy  bytes, cold start and memory of models compiled ahead of time'
	@echo 'make bench-start   from the start of a process to its first output'
	@echo 'make install       PREFIX (/usr/local) and DESTDIR;  uninstall'
	@echo 'make deps          install what building and testing need;  deps-text: fetch text to train on; deps-debug: gdb, perf'
	@echo 'make format, lint, docs, clean'
	@echo 'CC=clang-22, OPT=-O0, CFLAGS=..., V=1 (show commands), MODE=default|asan|coverage|hostile|fuzz|faults'

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
