# Models in a makefile (GNU make):
#
#   include $(shell pkg-config --variable=makefile tenon)
#   $(eval $(call tenon_model,digits,digits.onnx,--set n=1))
#   program: program.o digits.o
#   program.o: digits.h
#
# tenon_model(NAME, MODEL, OPTIONS): rules for NAME.o and NAME.h, and NAME.weights where the options have --weights file.
# NAME may have a folder in front. TENON is the program, TENON_FLAGS has options for all models.

PKG_CONFIG ?= pkg-config
TENON ?= $(or $(shell $(PKG_CONFIG) --variable=tenon tenon 2>/dev/null),tenon)

define tenon_model
$(1).o $(1).h $(if $(findstring --weights file,$(3)),$(1).weights) &: $(2)
	$$(TENON) compile $(2) -o $(1) $$(TENON_FLAGS) $(3)
endef
