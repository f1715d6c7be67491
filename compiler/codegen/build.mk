# LLVM is loaded when something is compiled, not when a process starts: of its 130 MB some 8 have to be relocated, which
# takes 10 ms, and a program from the cache needs none of them. So code generation calls LLVM's functions by names of its
# own, tn_<name> (llvm_names.h), which jump to where the library, once loaded, has them (llvm_stubs.awk, llvm_library.c).
# It is linked as others are where there is no shared one, where the machine has no such jumps, or with LAZY_LLVM=.
LLVM_FILE := $(if $(LLVM_CONFIG),$(realpath $(firstword $(shell $(LLVM_CONFIG) --link-shared --libfiles 2>/dev/null))))
LAZY_LLVM ?= $(if $(LLVM_FILE),$(firstword $(filter x86_64 aarch64,$(subst -, ,$(shell $(CC) -dumpmachine)))))

LLVM_IDENTITY := -DTN_LLVM_VERSION='"$(if $(LLVM_CONFIG),$(shell $(LLVM_CONFIG) --version))"' -DTN_LLVM_FILE='"$(LLVM_FILE)"'

ifneq ($(LAZY_LLVM),)
LLVM_CALLS := -include $(GEN)/llvm_names.h $(LLVM_IDENTITY) -DTN_LAZY_LLVM
LLVM_STUBS := $(BUILD)/obj/llvm_stubs.o
GENERATED += $(GEN)/llvm_names.h

$(GEN)/llvm_names.h: compiler/codegen/build.mk $(LLVM_FILE)
	@mkdir -p $(@D)
	@nm -D --defined-only $(LLVM_FILE) | sed -n 's/.* T \(LLVM[A-Z][A-Za-z0-9]*\).*/\#define \1 tn_\1/p' | sort -u > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(LLVM_STUBS): $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard compiler/codegen/*.c)) compiler/codegen/llvm_stubs.awk
	$(call say,GEN   $(@:.o=.S))
	$(Q)nm -u $(filter %.o,$^) | awk -v machine=$(LAZY_LLVM) -f compiler/codegen/llvm_stubs.awk > $(@:.o=.S)
	$(Q)$(CC) -c $(@:.o=.S) -o $@
else
LLVM_CALLS := $(LLVM_IDENTITY)
endif
