/* tenon: the command line.
 *
 * Exit status 0: done, 1: the input or its content is wrong, 2: usage. Results go to stdout,
 * diagnostics to stderr, one a line: file:place: error: message.
 */
#include "frontends/cli/commands.h"
#include "frontends/cli/model.h"
#include "ir/near.h"
#include "tenon.h"

#include <stdio.h>
#include <string.h>

#define OPTIONS(...)                                                                                                   \
    (const option_name[]) { __VA_ARGS__, OPTION_help, OPTION_COUNT }
#define COMPILING                                                                                                      \
    OPTION_target, OPTION_cpu, OPTION_features, OPTION_no_fusion, OPTION_trust_loops, OPTION_verify_each,              \
        OPTION_nan_check, OPTION_winograd, OPTION_strassen, OPTION_gemm, OPTION_weight_type, OPTION_time,              \
        OPTION_perf_map, OPTION_debug_info, OPTION_debug_lines

static const command commands[] = {
    {"run", "MODEL", "Runs a model (.onnx or .tn) on given or random inputs.",
     "  tenon run model.onnx --input x=x.npy --output-dir out\n"
     "  tenon run ocr.onnx --input x=line.png --image-size 320x48 --image-mean 127.5 --image-scale 0.00784\n"
     "  tenon run model.tn --set n=7 --check\n"
     "  tenon run model.onnx --input x=x.npy --expect y=y.npy --tolerance 1e-3\n",
     OPTIONS(OPTION_input, OPTION_output_dir, OPTION_set, OPTION_threads, OPTION_seed, OPTION_eval, OPTION_check,
             OPTION_expect, OPTION_tolerance, OPTION_json, OPTION_watch, OPTION_stats, OPTION_image_size,
             OPTION_image_layout, OPTION_image_mean, OPTION_image_scale, OPTION_image_bgr, OPTION_profile, OPTION_trace,
             OPTION_cache, COMPILING),
     1, 1, command_run},
    {"dump", "MODEL", "Writes what a model is after a stage of compilation.",
     "  tenon dump model.onnx\n"
     "  tenon dump model.onnx --after fuse\n"
     "  tenon dump model.tn --after all -o stages/\n"
     "  tenon dump model.onnx --diff\n",
     OPTIONS(OPTION_after, OPTION_diff, OPTION_output, COMPILING), 1, 1, command_dump},
    {"export", "MODEL", "Writes a model as an ONNX file.",
     "  tenon export model.tn -o model.onnx\n"
     "  tenon export model.onnx -o again.onnx --opset 18\n"
     "  tenon export model.onnx --after fuse --winograd off -o kernels.onnx\n",
     OPTIONS(OPTION_output, OPTION_opset, OPTION_drop_effects, OPTION_after, COMPILING), 1, 1, command_export},
    {"draw", "MODEL", "Draws a model as a graph: for Graphviz, or a picture by it.",
     "  tenon draw model.onnx > model.dot\n"
     "  tenon draw model.onnx --after fuse -o kernels.svg\n",
     OPTIONS(OPTION_output, OPTION_after, COMPILING), 1, 1, command_draw},
    {"debug", "MODEL", "Runs a model in the interpreter step by step, on commands of standard input.",
     "  tenon debug model.onnx --input x=x.npy\n"
     "  tenon debug model.tn --after fuse --execute 'break op:softmax' --execute continue\n"
     "  tenon debug model.tn < commands.txt\n",
     OPTIONS(OPTION_execute, OPTION_after, OPTION_input, OPTION_set, OPTION_seed, OPTION_image_size,
             OPTION_image_layout, OPTION_image_mean, OPTION_image_scale, OPTION_image_bgr, COMPILING),
     1, 1, command_debug},
    {"check", "MODEL", "Loads and verifies a model; lists inputs, outputs, ops, symbols and costs.",
     "  tenon check model.onnx\n"
     "  tenon check model.onnx --set batch=1 --json\n",
     OPTIONS(OPTION_set, OPTION_json, COMPILING), 1, 1, command_check},
    {"grad", "MODEL", "Writes a module that computes a loss of a model and its gradients.",
     "  tenon grad model.onnx --loss mean -o gradients.tn\n"
     "  tenon grad classifier.onnx --wrt initializers --loss sparse_cross_entropy -o gradients.tn\n"
     "  tenon grad model.tn --wrt x,w1 -o gradients.tn\n"
     "  tenon grad model.onnx --loss mean --remat full --peaks --set n=8 -o gradients.tn\n",
     OPTIONS(OPTION_wrt, OPTION_loss, OPTION_remat, OPTION_peaks, OPTION_set, OPTION_output), 1, 1, command_grad},
    {"train", "EXAMPLE [FILE|DIR]", "Trains a model: digits, mnist DIR, text FILE, or one of --onnx on --data.",
     "  tenon train digits -o digits.onnx\n"
     "  tenon train mnist mnist/ --epochs 3 --tensorboard runs/mnist\n"
     "  tenon train text plays.txt --checkpoint gpt.safetensors --resume\n"
     "  tenon train --onnx model.onnx --loss sparse_cross_entropy --data images.npz -o tuned.onnx\n"
     "  tenon train digits --batch 16 --step digits\n",
     OPTIONS(OPTION_onnx, OPTION_loss, OPTION_loss_of, OPTION_data, OPTION_freeze, OPTION_epochs, OPTION_batch,
             OPTION_lr, OPTION_optimizer, OPTION_schedule, OPTION_validation, OPTION_patience, OPTION_checkpoint,
             OPTION_checkpoint_every, OPTION_resume, OPTION_best, OPTION_tensorboard, OPTION_seed, OPTION_threads,
             OPTION_step, OPTION_nan_check, OPTION_trace, OPTION_output),
     0, 2, command_train},
    {"bench", "MODEL", "Measures a model on random inputs.",
     "  tenon bench model.onnx --threads 1\n"
     "  tenon bench model.onnx --set n=128 --seconds 5 --json\n",
     OPTIONS(OPTION_threads, OPTION_seconds, OPTION_set, OPTION_seed, OPTION_input, OPTION_json, OPTION_profile,
             OPTION_trace, OPTION_cache, COMPILING),
     1, 1, command_bench},
    {"explain", "MODEL", "Tells what the compiler made of a model: kernels, why they are so, costs, times, memory.",
     "  tenon explain model.onnx\n"
     "  tenon explain model.onnx --set n=8 --threads 1 --sort time\n"
     "  tenon explain model.onnx --html model.html\n"
     "  tenon explain model.tn --no-run --json\n",
     OPTIONS(OPTION_html, OPTION_json, OPTION_sort, OPTION_output, OPTION_no_run, OPTION_seconds, OPTION_input,
             OPTION_set, OPTION_threads, OPTION_seed, COMPILING),
     1, 1, command_explain},
    {"compile", "MODEL", "Writes a model as an object and a C header, which need nothing else.",
     "  tenon compile model.onnx -o model\n"
     "  tenon compile model.onnx -o model --target x86-64-v2,v3,v4 --weights file\n"
     "  tenon compile model.tn -o model --set n=4 --target aarch64-linux-gnu\n"
     "  tenon compile step.tn -o step --entry train_step --states first.safetensors\n",
     OPTIONS(OPTION_output, OPTION_emit, OPTION_weights, OPTION_freestanding, OPTION_set, OPTION_function, OPTION_entry,
             OPTION_states, COMPILING),
     1, 1, command_compile},
    {"bisect", "MODEL", "Finds the first stage and value where compiled results leave the interpreter's.",
     "  tenon bisect model.onnx --input x=x.npy -o small.tn\n"
     "  tenon bisect model.tn --set n=7 --threads 8\n",
     OPTIONS(OPTION_input, OPTION_set, OPTION_threads, OPTION_seed, OPTION_seconds, OPTION_output, OPTION_json,
             OPTION_image_size, OPTION_image_layout, OPTION_image_mean, OPTION_image_scale, OPTION_image_bgr,
             COMPILING),
     1, 1, command_bisect},
    {"reduce", "MODEL", "Makes a model smaller for as long as a command fails on it.",
     "  tenon reduce model.tn --command 'tenon run {} --check' --match 'differs from' -o small.tn\n"
     "  tenon reduce model.onnx --command 'sh compare.sh {}' --exit-code 3 --timeout 20 -o small.onnx\n",
     OPTIONS(OPTION_command, OPTION_output, OPTION_set, OPTION_exit_code, OPTION_match, OPTION_timeout), 1, 1,
     command_reduce},
    {"cache", "stats|clear", "Tells how much is in the cache of compiled programs, or empties it.",
     "  tenon cache stats --json\n"
     "  tenon cache clear\n",
     OPTIONS(OPTION_json), 1, 1, command_cache},
    {"doc", "ops|passes", "Prints the reference of the op table or of the passes as Markdown.",
     "  tenon doc ops > docs/OPS.md\n", OPTIONS(OPTION_output), 1, 1, command_doc},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void help(void) {
    printf("Usage: tenon COMMAND MODEL [OPTION]...\nCompiles and runs tensor graphs.\n\nCommands:\n");
    for (int i = 0; i < N_COMMANDS; i++) printf("  %-8s %s\n", commands[i].name, commands[i].doc);
    printf("\nOptions:\n  --help     print this help; tenon COMMAND --help for a command's\n"
           "  --version  print versions of Tenon and LLVM, and the CPU\n\nExamples:\n%s",
           commands[0].examples);
}

static int complain_of_command(const char *name) {
    near_names near = {.wanted = name};
    char text[200];
    for (int i = 0; i < N_COMMANDS; i++) near_offer(&near, commands[i].name);
    if (ends_with(name, ".onnx") || ends_with(name, ".tn"))
        fprintf(stderr, "tenon: %s is a model, the command comes first: tenon run %s (see tenon --help)\n", name, name);
    else
        fprintf(stderr, "tenon: there is no command %s%s (see tenon --help)\n", name,
                near_text(&near, text, sizeof text));
    return EXIT_USAGE;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name) {
        fprintf(stderr, "tenon: no command given (see tenon --help)\n");
        return EXIT_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        help();
        return EXIT_DONE;
    }
    if (strcmp(name, "--version") == 0) {
        char text[200];
        tn_version_text(text, sizeof text);
        printf("%s\n", text);
        return EXIT_DONE;
    }
    options_know(commands, N_COMMANDS);
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0) {
            static arguments a; /* several KiB of lists */
            int status = options_parse(&a, &commands[i], argc - 1, argv + 1);
            if (status) return status < 0 ? EXIT_DONE : status;
            status = commands[i].run(&a);
            if (fflush(stdout) != 0 || ferror(stdout)) {
                fprintf(stderr, "tenon: error: the output could not be written\n");
                return EXIT_INPUT;
            }
            return status;
        }
    return complain_of_command(name);
}
