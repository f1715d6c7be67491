# A digest of all sources that decide what a program is compiled to: programs that another build has cached are not run.
CODE_SOURCES := $(sort $(wildcard $(foreach folder,runtime ir compiler compiler/passes compiler/loops compiler/codegen, \
	$(folder)/*.c $(folder)/*.h $(folder)/*.def)))
GENERATED += $(GEN)/tenon_sources.h
$(GEN)/tenon_sources.h: $(CODE_SOURCES)
	@mkdir -p $(@D)
	@printf '#define TN_SOURCES "%s"\n' "$$(cat $^ | sha256sum | cut -c 1-32)" > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
