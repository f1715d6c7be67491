# --json output.
CLI_LIBS += -ljansson

# These tests are of the program's own files, which are not in the library.
$(BUILD)/tests/npy: $(BUILD)/obj/frontends/cli/npy.o $(BUILD)/obj/frontends/cli/picture.o \
	$(BUILD)/obj/frontends/cli/read_file.o
$(BUILD)/tests/models: $(BUILD)/obj/frontends/cli/npy.o $(BUILD)/obj/frontends/cli/read_file.o
