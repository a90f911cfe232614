# mega - make, make demo, make test, make install; see README.md.
#
# Everything is built below $(BUILD). Variants get a folder of their own:
#   make BUILD=build/asan SANITIZE=address,undefined test
#   make BUILD=build/clang CC=clang WERROR=1
#   make BUILD=build/own WITH_OPENBLAS=0 WITH_FFTW=0      the kernels and the EMA are our own
#   make WITH_SERVER=0                                    no mega-run serve, no libmicrohttpd
# Each file is announced by one short line; V=1 shows the commands themselves.

BUILD   ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
VERSION := $(shell sed -n 's/^\#define MEGA_VERSION "\(.*\)"/\1/p' src/mega.h)

# A build can do without these libraries: 1 or 0. OpenBLAS is for --cpu openblas, to compare with, and
# is loaded when that is asked for. FFTW makes the EMA of models with hundreds of states faster. mega-run
# serve needs libmicrohttpd, and loads it when it begins. libdeflate opens compressed models faster than
# zlib, and is used if it is installed.
WITH_OPENBLAS   ?= 1
WITH_FFTW       ?= 1
WITH_SERVER     ?= 1
WITH_LIBDEFLATE ?= $(if $(wildcard /usr/include/libdeflate.h),1,0)
# 0 makes a library for a program that has memory and a clock, but no threads and no files, such as a
# page in a browser: make WITH_SYSTEM=0 WITH_OPENBLAS=0 WITH_FFTW=0 BUILD=... .../libmega.a
WITH_SYSTEM     ?= 1
ifneq ($(filter-out 0 1,$(WITH_OPENBLAS) $(WITH_FFTW) $(WITH_SERVER) $(WITH_LIBDEFLATE) $(WITH_SYSTEM)),)
$(error WITH_OPENBLAS, WITH_FFTW, WITH_SERVER, WITH_LIBDEFLATE and WITH_SYSTEM are 1 or 0)
endif
export WITH_OPENBLAS WITH_FFTW WITH_SERVER WITH_SYSTEM
# by_system FILES-OF-A-SYSTEM,FILES-WITHOUT
by_system = $(if $(filter 1,$(WITH_SYSTEM)),$(1),$(2))

ifeq ($(V),1)
Q   :=
say := @:
else
Q   := @
say := @printf '%-4s %s\n'
endif

CC      ?= cc
ARCH    := $(shell $(CC) -dumpmachine 2>/dev/null | cut -d- -f1)
CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wconversion \
           -Wno-sign-conversion $(if $(WERROR),-Werror)
SAN     := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer)
# fontconfig, which cairo uses, never frees the fonts that it found.
ifneq ($(SANITIZE),)
export LSAN_OPTIONS := suppressions=$(CURDIR)/tests/leaks:print_suppressions=0
endif
OWN_CFLAGS := $(CFLAGS) $(if $(filter 0,$(WITH_OPENBLAS)),-DMEGA_WITH_OPENBLAS=0) \
    $(if $(filter 0,$(WITH_FFTW)),-DMEGA_WITH_FFTW=0) $(call by_system,,-DMEGA_WITH_SYSTEM=0)
ALL_CFLAGS  = -std=gnu11 -ffp-contract=off -fvisibility=hidden $(call by_system,-fPIC -pthread) \
    -iquote . $(WARN) $(SAN) $(OWN_CFLAGS)
LIB_LIBS   := -lsamplerate -lpcre2-8 $(if $(filter 1,$(WITH_FFTW)),-lfftw3f) \
    $(if $(filter 1,$(WITH_LIBDEFLATE)),-ldeflate) -lz -ldl -lpthread -lm
MEDIA_LIBS := -lsndfile -lmpg123 -ljpeg -lsamplerate -lz -lm
TOOL_LIBS  := -ljansson $(MEDIA_LIBS) $(LIB_LIBS)
RUN_LIBS   := -lcairo $(TOOL_LIBS)

# ---- Sources, in the order of the data flow; tests/directions says which room may use which

# formats: bytes outside <-> values inside. Those that libmega needs to open a model, and to make
# answers of raw text, samples and pixels ...
BASE_SRC := src/base/utf8.c formats/base/bytes.c formats/base/sniff.c formats/base/source_name.c \
    $(call by_system,formats/base/input_stream.c)
LIB_SRC := \
    src/base/error.c $(BASE_SRC) formats/base/inflate.c \
    $(call by_system,formats/base/mapped_file.c,formats/base/no_files.c) \
    formats/tensor/quantize.c formats/tensor/dtype.c formats/tensor/panels.c \
    formats/mega/meta.c formats/mega/read.c formats/mega/data.c \
    formats/media/pcm.c formats/media/image_operations.c \
    formats/text/text_input.c formats/text/vocab.c formats/text/moses_prefixes.c \
    formats/text/moses.c formats/text/glossary.c formats/text/bpe.c formats/text/capitals.c \
    formats/text/unicode_classes.c formats/text/added_tokens.c formats/text/tokens.c \
    formats/text/byte_bpe_merges.c formats/text/byte_bpe_words.c formats/text/byte_bpe.c \
    formats/text/units.c formats/text/tokenizer.c

# ... the engine ...
LIB_SRC += \
    $(call by_system,src/base/large_pages.c src/base/nameless_file.c src/base/processors.c \
        src/base/sort.c src/base/threads.c,src/base/no_system.c) \
    src/base/arena.c src/base/characters.c src/base/growing.c src/base/ledger.c \
    src/base/sort_strings.c src/base/spill.c \
    src/kernels/dispatch.c $(if $(filter wasm32,$(ARCH)),,src/kernels/generic.c) \
    $(if $(filter 1,$(WITH_OPENBLAS)),src/kernels/openblas.c) \
    src/kernels/forms.c src/kernels/matmul.c src/kernels/linear.c \
    src/model/earlier.c src/model/field.c src/model/config.c src/model/tensors.c src/model/stored.c \
    src/model/fold.c src/model/positions.c src/model/load.c src/model/model.c \
    src/layers/tap.c src/layers/workspace.c src/layers/chunks.c src/layers/norm.c src/layers/rows.c \
    src/layers/embed.c src/layers/fft_convolution.c \
    src/layers/dft.c src/layers/ssm_system.c src/layers/ssm_kernel.c src/layers/ssm_steps.c \
    src/layers/ema.c src/layers/ema_step.c \
    src/layers/values.c src/layers/attention.c src/layers/rotation.c src/layers/cross_attention.c \
    src/layers/feed_forward.c src/layers/mega.c src/layers/mega_step.c src/layers/mega_config.c \
    src/layers/attention_tap.c src/layers/multi_head.c src/layers/transformer.c \
    src/layers/s4_config.c src/layers/s4_plan.c src/layers/s4_spectra.c src/layers/s4_convolve.c \
    src/layers/s4.c \
    src/layers/kinds.c src/layers/head.c \
    src/encode/session.c src/encode/pieces.c src/encode/stream.c \
    src/decode/logits.c src/decode/sources.c src/decode/decoder.c \
    src/decode/search.c src/decode/sample.c \
    src/pipeline/preprocess.c src/pipeline/content.c src/pipeline/raw.c \
    src/pipeline/input_sound.c src/pipeline/input_image.c src/pipeline/input.c \
    src/pipeline/listener.c \
    src/pipeline/pipeline.c src/pipeline/classify.c src/pipeline/embed.c \
    src/pipeline/translate.c src/pipeline/generate.c src/pipeline/score.c \
    src/pipeline/tokens.c src/pipeline/fill.c src/pipeline/tag.c src/pipeline/answer.c \
    src/pipeline/choose.c

# ... libmega-media, which opens files of sound and pictures ...
MEDIA_SRC := \
    formats/media/audio_parts.c formats/media/audio_chunks.c formats/media/audio_flac.c \
    formats/media/audio_ogg.c formats/media/audio_mpeg.c formats/media/audio_rarer.c \
    formats/media/audio.c \
    formats/media/image_exif.c formats/media/image_png.c formats/media/image_png_text.c \
    formats/media/image_jpeg.c \
    formats/media/image_bmp.c formats/media/image.c \
    formats/media/media.c

# ... and what only the tools need: files that they write, arrays, other programs' checkpoints.
FORMATS_SRC := \
    formats/base/atomic_file.c formats/media/npy.c formats/mega/write.c \
    formats/checkpoint/zip.c formats/checkpoint/pickle_globals.c \
    formats/checkpoint/pickle_values.c formats/checkpoint/pickle_calls.c \
    formats/checkpoint/pickle.c formats/checkpoint/torch_extras.c \
    formats/checkpoint/torch_args.c formats/checkpoint/torch_module.c \
    formats/checkpoint/torch_state.c formats/checkpoint/torch_zip.c \
    formats/checkpoint/torch_legacy.c formats/checkpoint/safetensors.c \
    formats/checkpoint/folder.c formats/checkpoint/checkpoint.c

COMMON_SRC := \
    tools/common/progress.c tools/common/memory.c tools/common/json.c \
    tools/common/descriptors.c tools/common/signals.c tools/common/suggest.c \
    tools/common/hints.c tools/common/terminal.c tools/common/messages.c \
    tools/common/command_line.c tools/common/version.c

RUN_SRC := $(COMMON_SRC) \
    tools/run/main.c tools/run/options.c tools/run/classes.c tools/run/warnings.c \
    tools/run/command_line.c tools/run/verbose.c \
    tools/run/find_model.c tools/run/tokenizer_file.c tools/run/lines.c tools/run/text_argument.c tools/run/text_inputs.c \
    tools/run/shard.c tools/run/results_file.c tools/run/path_inputs.c tools/run/crew.c tools/run/folders.c \
    tools/run/classify_jobs.c \
    tools/run/classify_print.c \
    tools/run/classify_texts.c tools/run/forward_pieces.c \
    tools/run/events.c tools/run/results.c tools/run/token_writer.c tools/run/scoring.c \
    tools/run/manifest.c \
    tools/run/eval_text.c tools/run/roofline.c \
    tools/run/pictures/observe.c tools/run/pictures/spectrum.c tools/run/pictures/canvas.c \
    tools/run/pictures/surface_cairo.c \
    tools/run/pictures/chart.c tools/run/pictures/plot_view.c \
    tools/run/pictures/explain_head.c tools/run/pictures/explain_input.c \
    tools/run/pictures/explain_text.c tools/run/pictures/explain_reader.c \
    tools/run/pictures/explain_parts.c \
    $(filter-out $(if $(filter 0,$(WITH_SERVER)),%/serve.c),$(sort $(wildcard tools/run/commands/*.c)))

# mega-run serve. The parser of requests is tested in every build.
SERVE_PARSER_SRC := tools/run/serve/multipart.c tools/run/serve/request.c tools/run/serve/fields.c \
    tools/run/serve/guard.c
RUN_SRC += $(if $(filter 1,$(WITH_SERVER)), $(SERVE_PARSER_SRC) \
    tools/run/serve/metrics.c tools/run/serve/models.c tools/run/serve/job.c \
    tools/run/serve/queue.c tools/run/serve/worker.c tools/run/serve/texts.c \
    tools/run/serve/translate.c tools/run/serve/classify.c tools/run/serve/complete.c \
    tools/run/serve/mhd.c tools/run/serve/routes.c tools/run/serve/sound_stream.c tools/run/serve/connections.c \
    tools/run/serve/http.c tools/run/serve/server.c tools/run/serve/page.c)

CONVERT_SRC := $(COMMON_SRC) \
    tools/convert/main.c tools/convert/options.c tools/convert/arguments.c \
    tools/convert/list.c tools/convert/architecture.c \
    tools/convert/families/detection.c tools/convert/families/classifier.c \
    tools/convert/families/vision.c tools/convert/families/sequence.c \
    tools/convert/families/transformer.c tools/convert/families/s4.c \
    tools/convert/families/hub.c tools/convert/names/names.c tools/convert/names/table.c \
    tools/convert/names/fairseq.c tools/convert/names/transformer.c tools/convert/names/vision.c \
    tools/convert/names/s4.c tools/convert/names/hub.c tools/convert/hub_parts.c \
    tools/convert/hub_tokenizer.c \
    tools/convert/hub_units.c tools/convert/tokenizer_only.c tools/convert/s4_inputs.c \
    tools/convert/metadata.c tools/convert/items.c tools/convert/kernels.c \
    tools/convert/write.c

# The files that are built for a particular processor; chosen at run time by src/kernels/dispatch.c.
ifeq ($(ARCH),x86_64)
TIERS := x86/avx2 x86/avx2vnni x86/avx512 x86/avx512vnni
AVX512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c
$(BUILD)/%/x86/avx2.o: ALL_CFLAGS += -mavx2 -mfma -mf16c
$(BUILD)/%/x86/avx2vnni.o: ALL_CFLAGS += -mavx2 -mfma -mf16c -mavxvnni
$(BUILD)/%/x86/avx512.o: ALL_CFLAGS += $(AVX512)
$(BUILD)/%/x86/avx512vnni.o: ALL_CFLAGS += $(AVX512) -mavx512vnni
# Compilers before gcc 11 and clang 12 do not know the tile unit; they leave its tier out.
AMX := -mamx-tile -mamx-int8 -mamx-bf16
ifneq ($(shell echo | $(CC) $(AMX) -x c -c -o /dev/null - 2>/dev/null && echo known),)
TIERS += x86/amx
$(BUILD)/%/x86/amx.o: ALL_CFLAGS += $(AVX512) $(AMX)
else
OWN_CFLAGS += -DMEGA_WITH_AMX=0
endif
LIB_SRC += src/kernels/x86/tile_unit.c
else ifeq ($(ARCH),aarch64)
TIERS := arm/dotprod
$(BUILD)/%/arm/dotprod.o: ALL_CFLAGS += -march=armv8.2-a+dotprod
else ifeq ($(ARCH),wasm32)
TIERS := wasm/simd128
$(BUILD)/%/wasm/simd128.o: ALL_CFLAGS += -msimd128
endif
LIB_SRC += $(TIERS:%=src/kernels/%.c)
# The compiler has to vectorise the kernels' plain loops, so they are optimised in every build, also in
# one without optimisation; so is the tile unit in C, with which tests run its kernels. With all
# sanitizers this would take minutes, so these files do without the checks that repeat at each access
# what AddressSanitizer finds, and for fuzzers they only have those for bytes out of bounds.
KERNELS := $(foreach tier,generic $(TIERS),$(BUILD)/%/kernels/$(tier).o) $(BUILD)/%/unit/tiers.o
$(KERNELS): OWN_CFLAGS := $(filter-out -O% -DNDEBUG,$(CFLAGS))
$(KERNELS): ALL_CFLAGS += $(if $(SANITIZE),-O1,-O3) -fno-math-errno -fno-trapping-math \
    $(if $(SANITIZE),-fno-sanitize=pointer-overflow -fno-sanitize=null -fno-sanitize=object-size) \
    $(if $(findstring fuzzer,$(SANITIZE)),-fno-sanitize=undefined -fno-sanitize=fuzzer-no-link)

$(BUILD)/obj/formats/base/inflate.o: ALL_CFLAGS += \
    $(if $(filter 1,$(WITH_LIBDEFLATE)),-DMEGA_WITH_LIBDEFLATE=1)
$(BUILD)/obj/tools/run/main.o: ALL_CFLAGS += $(if $(filter 0,$(WITH_SERVER)),-DMEGA_WITH_SERVER=0)

UNIT_SRC := $(wildcard tests/unit/*/test_*.c)
TEST_SUPPORT_SRC := \
    tests/unit/reference.c tests/unit/reference_ssm.c tests/unit/support.c tests/unit/golden.c \
    tests/unit/raw_models.c tests/unit/decoding_models.c tests/unit/pipelines.c \
    tests/unit/recordings.c tests/unit/pictures.c tests/unit/tiers.c \
    $(filter-out tools/run/main.c $(SERVE_PARSER_SRC),$(RUN_SRC)) $(SERVE_PARSER_SRC) \
    tools/convert/hub_parts.c tools/convert/hub_tokenizer.c

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
LIB_OBJ := $(call obj,$(LIB_SRC))
UNIT_BIN := $(addprefix $(BUILD)/tests/,$(basename $(notdir $(UNIT_SRC))))
BINARIES := $(BUILD)/mega-run $(BUILD)/mega-convert

.PHONY: all demo test unit cli bench install uninstall clean packages packages-test \
    json shell server server-test faults matrix second-reader examples completion readme deb fuzz fuzz-commands fuzz-replay libfuzzer \
    coverage coverage-programs install-test train-test wheel wheel-test packages-wheel \
    web web-test packages-web packages-web-test \
    cluster-test packages-cluster
LIBRARIES := libmega.a libmega.so libmega-media.a libmega-media.so
# The programs of this tree are linked with these libraries, each of which may use those after it.
OWN_LIBS := $(BUILD)/libformats.a $(BUILD)/libmega-media.a $(BUILD)/libmega.a
all: $(BINARIES) $(LIBRARIES:%=$(BUILD)/%)
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

# This file changes with the switches, so that everything is rebuilt for another set of libraries.
SWITCHES := WITH_OPENBLAS=$(WITH_OPENBLAS) WITH_FFTW=$(WITH_FFTW) WITH_SERVER=$(WITH_SERVER) \
    WITH_LIBDEFLATE=$(WITH_LIBDEFLATE) WITH_SYSTEM=$(WITH_SYSTEM)
$(BUILD)/switches: FORCE
	@mkdir -p $(@D)
	@echo '$(SWITCHES)' | cmp -s - $@ || echo '$(SWITCHES)' >$@
.PHONY: FORCE
FORCE:

# Checks once which packages are missing, before the compiler says it in a hundred lines.
$(BUILD)/headers-found: tools/install-packages $(BUILD)/switches
	@mkdir -p $(@D)
	@CC="$(CC)" tools/install-packages --check
	@touch $@

$(BUILD)/obj/%.o: %.c $(BUILD)/switches | $(BUILD)/headers-found
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

# The page of the server, as a source file: every line becomes a literal.
$(BUILD)/page.c: tools/run/serve/page.html
	@mkdir -p $(@D)
	$(say) PAGE $<
	$(Q)(echo '#include "tools/run/serve/answer.h"' && echo 'const char serve_page[] =' && \
	    sed 's/\\/&&/g; s/"/\\"/g; s/^ *//; s/.*/"&\\n"/' $< && echo ';' && \
	    echo 'const size_t serve_page_size = sizeof serve_page - 1;') >$@
$(BUILD)/obj/tools/run/serve/page.o: $(BUILD)/page.c $(BUILD)/switches | $(BUILD)/headers-found
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

# An archive depends on the Makefile, so that it is rebuilt when its list of sources changes.
define ARCHIVE
$(BUILD)/$(1).a: $(call obj,$(2)) $(BUILD)/switches Makefile
	$$(say) AR $$@
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$(filter %.o,$$^)
endef
$(eval $(call ARCHIVE,libmega,$(LIB_SRC)))
$(eval $(call ARCHIVE,libmega-media,$(MEDIA_SRC)))
$(eval $(call ARCHIVE,libformats,$(FORMATS_SRC)))

$(BUILD)/libmega.so: $(LIB_OBJ) $(BUILD)/switches
	$(say) LINK $@
	$(Q)$(CC) $(SAN) $(CFLAGS) $(LDFLAGS) -shared -Wl,-soname,libmega.so.0 -o $@ $(filter %.o,$^) $(LIB_LIBS)

# libmega-media has hidden copies of the few files of libmega that it needs, besides linking to it.
$(BUILD)/libmega-media.so: $(call obj,$(MEDIA_SRC) $(BASE_SRC) formats/media/pcm.c \
        formats/media/image_operations.c) $(BUILD)/libmega.so
	$(say) LINK $@
	$(Q)$(CC) $(SAN) $(CFLAGS) $(LDFLAGS) -shared -Wl,-soname,libmega-media.so.0 -o $@ $^ \
	    $(MEDIA_LIBS)

$(BUILD)/mega-run: $(call obj,$(RUN_SRC)) $(OWN_LIBS)
	$(say) LINK $@
	$(Q)$(CC) $(SAN) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(RUN_LIBS)

$(BUILD)/mega-convert: $(call obj,$(CONVERT_SRC)) $(OWN_LIBS)
	$(say) LINK $@
	$(Q)$(CC) $(SAN) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS)

# These are written at installation, when PREFIX may differ from that of the build.
define PKG_CONFIG
prefix=$(PREFIX)
includedir=$${prefix}/include
libdir=$${prefix}/lib

Name: mega
Description: inference engine for MEGA sequence models
Version: $(VERSION)
Cflags: -I$${includedir}
Libs: -L$${libdir} -lmega
Libs.private: $(LIB_LIBS)
endef
define PKG_CONFIG_MEDIA
prefix=$(PREFIX)
libdir=$${prefix}/lib

Name: mega-media
Description: opens files of sound and pictures for mega
Version: $(VERSION)
Requires: mega
Libs: -L$${libdir} -lmega-media
Libs.private: $(MEDIA_LIBS)
endef
export PKG_CONFIG PKG_CONFIG_MEDIA

# ---- Benchmarks ------------------------------------------------------------------------------------

# Each compares with a library, and is not built without it.
bench: $(if $(filter 1,$(WITH_FFTW)),$(BUILD)/bench/ema $(BUILD)/bench/fft) \
    $(if $(filter 1,$(WITH_OPENBLAS)),$(BUILD)/bench/matmul)

$(BUILD)/bench/%: $(BUILD)/obj/tools/bench/%.o $(BUILD)/libmega.a
	@mkdir -p $(@D)
	$(say) LINK $@
	$(Q)$(CC) $(SAN) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lopenblas $(LIB_LIBS)

# ---- Oracles: programs that tests/oracles/*.py compare with others -------------------------------------

$(BUILD)/oracles/%: $(BUILD)/obj/tests/oracles/%.o $(OWN_LIBS)
	@mkdir -p $(@D)
	$(say) LINK $@
	$(Q)$(CC) $(SAN) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS)

# ---- Fuzzing: every target over its corpus, by libFuzzer or (replay) by any compiler ------------------

FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
REPLAY_BIN := $(FUZZ_NAMES:%=$(BUILD)/fuzz/replay_%)
LIBFUZZER_BIN := $(FUZZ_NAMES:%=$(BUILD)/fuzz/fuzz_%)
FUZZ_SUPPORT := $(call obj,tests/fuzz/support.c tests/fuzz/pickle_mutator.c tests/fuzz/random_model.c \
    $(filter-out tools/convert/main.c,$(CONVERT_SRC)) $(SERVE_PARSER_SRC))
SECONDS ?= 60
FUZZ    ?= $(FUZZ_NAMES)

$(BUILD)/libfuzz.a: $(FUZZ_SUPPORT) Makefile
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

$(BUILD)/fuzz/replay_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(BUILD)/obj/tests/fuzz/replay.o \
        $(BUILD)/libfuzz.a $(OWN_LIBS)
	@mkdir -p $(@D)
	$(say) LINK $@
	$(Q)$(CC) $(SAN) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS)

$(BUILD)/fuzz/fuzz_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o \
        $(BUILD)/libfuzz.a $(OWN_LIBS)
	@mkdir -p $(@D)
	$(say) LINK $@
	$(Q)$(CC) $(SAN) -fsanitize=fuzzer $(CFLAGS) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS)

fuzz-replay: $(REPLAY_BIN)
	@for n in $(FUZZ_NAMES); do \
	    $(BUILD)/fuzz/replay_$$n tests/fuzz/corpus/$$n >$(BUILD)/fuzz/log 2>&1 || \
	        { cat $(BUILD)/fuzz/log; echo "$$n: the corpus does not replay"; exit 1; }; done

libfuzzer: $(LIBFUZZER_BIN)

# make fuzz SECONDS=3600 FUZZ="zip pickle" runs each target for so long; a finding stops it.
fuzz:
	$(MAKE) BUILD=$(BUILD)/libfuzzer CC=clang SANITIZE=fuzzer-no-link,address,undefined \
	    CFLAGS='-O1 -g' libfuzzer
	BUILD=$(BUILD)/libfuzzer tests/fuzz/run $(SECONDS) $(FUZZ)

$(BUILD)/fuzz/dump_models: $(BUILD)/obj/tests/fuzz/dump_models.o $(BUILD)/libfuzz.a \
        $(OWN_LIBS)
	@mkdir -p $(@D)
	$(say) LINK $@
	$(Q)$(CC) $(SAN) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS)

# Runs every command on random models; with SANITIZE, and a BUILD for it, faults of memory show.
fuzz-commands: $(BINARIES) $(BUILD)/fuzz/dump_models
	MEGA_BUILD=$(BUILD) tests/fuzz/commands $(SECONDS) $(FIRST)

# ---- Tests -----------------------------------------------------------------------------------------

$(BUILD)/libsupport.a: $(call obj,$(TEST_SUPPORT_SRC)) Makefile
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

# This test makes its own allocations fail.
$(BUILD)/tests/test_going_on: LDFLAGS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc \
    -Wl,--wrap=aligned_alloc

# Tests lie in folders named like the rooms that they test; their programs go to one folder.
$(foreach source,$(UNIT_SRC),$(eval $(BUILD)/tests/$(basename $(notdir $(source))): $(call obj,$(source))))
$(BUILD)/tests/%: $(BUILD)/libsupport.a $(OWN_LIBS)
	@mkdir -p $(@D)
	$(say) LINK $@
	$(Q)$(CC) $(SAN) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) -lcmocka $(TOOL_LIBS)

# test_growth counts the steps of these files: every function reports its calls, and PCRE2 counts.
COUNTED_OBJ := $(patsubst %,$(BUILD)/counted/%.o,base/bytes text/text_input text/vocab text/moses \
    text/glossary text/bpe)
$(BUILD)/counted/%.o: formats/%.c
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(ALL_CFLAGS) -finstrument-functions -D_GNU_SOURCE= -include tests/unit/count_steps.h \
	    -MMD -MP -c $< -o $@

$(BUILD)/tests/test_growth: $(COUNTED_OBJ) $(OWN_LIBS)
	@mkdir -p $(@D)
	$(say) LINK $@
	$(Q)$(CC) $(SAN) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) -lcmocka $(TOOL_LIBS)

unit: $(UNIT_BIN) $(BINARIES)
	@for t in $(UNIT_BIN); do MEGA_BUILD=$(BUILD) $$t || exit 1; done

cli: $(BINARIES)
	MEGA_BUILD=$(BUILD) tests/cli/run

# Compares the output of --json with man/mega.schema.json.
json: $(BINARIES)
	MEGA_BUILD=$(BUILD) tests/json/run

# Tests streams, large inputs and terminals; the preloaded library makes a conversion slow.
shell: $(BINARIES) $(if $(SANITIZE),,$(BUILD)/faults/preload.so)
	MEGA_BUILD=$(BUILD) tests/shell/run

# Provokes faults of the system, most of them by a preloaded library, which sanitizers cannot run with.
$(BUILD)/faults/preload.so: tests/faults/preload.c
	@mkdir -p $(@D)
	$(say) LINK $@
	$(Q)$(CC) -std=gnu11 $(WARN) -O2 -g -fPIC -fno-builtin -shared -o $@ $<

faults: $(BINARIES) $(if $(SANITIZE),,$(BUILD)/faults/preload.so $(REPLAY_BIN))
	MEGA_BUILD=$(BUILD) tests/faults/run

# Tests mega-run serve with curl and sockets.
server: $(BINARIES)
	$(if $(filter 1,$(WITH_SERVER)),MEGA_BUILD=$(BUILD) tests/server/run)

# Tests mega-run serve with clients that others wrote: its page in Chromium, and the packages openai and
# requests of PyPI, which are kept in $(BUILD)/clients.
server-test: $(BINARIES) packages-web-test
	@[ -e $(BUILD)/clients/ready ] || { rm -rf $(BUILD)/clients && python3 -m venv $(BUILD)/clients && \
	    $(BUILD)/clients/bin/pip install -q openai requests && touch $(BUILD)/clients/ready; }
	MEGA_BUILD=$(BUILD) $(BUILD)/clients/bin/python tests/server/clients.py
	MEGA_BUILD=$(BUILD) python3 tests/server/page.py

# Runs every command on every type of model.
matrix: $(BINARIES)
	MEGA_BUILD=$(BUILD) tests/matrix/run

# Compares our reader of .mega files with one in Python, written from formats/mega/MEGA-FORMAT.md alone.
second-reader: $(BINARIES) $(BUILD)/oracles/mega_dump
	MEGA_BUILD=$(BUILD) tests/oracles/second_reader

completion: $(BINARIES)
	MEGA_BUILD=$(BUILD) tools/completion/test

examples: $(BUILD)/libmega-media.so $(BUILD)/mega-run
	MEGA_BUILD=$(BUILD) CC="$(CC)" tools/examples/test

# Tests what a newcomer meets: missing packages, short lines, installation and removal.
install-test: all
	MEGA_BUILD=$(BUILD) tests/install/run

# Runs every command of README.md and of the manual pages.
readme: all
	tests/readme.py $(BUILD)

# Tests the recipes of tools/train. It needs the packages of their requirements.txt, so `make test` leaves
# it out.
train-test: $(BINARIES)
	cd tools/train && BUILD=$(abspath $(BUILD)) OMP_NUM_THREADS=1 \
	    python3 -m unittest discover tests

test: packages-test
	$(MAKE) all unit cli json shell server fuzz-replay faults matrix second-reader examples completion install-test \
	    readme

# ---- Coverage of the parsers by the corpus and the unit tests ----------------------------------------

coverage-programs: $(BINARIES) $(UNIT_BIN) $(REPLAY_BIN)

coverage:
	$(MAKE) BUILD=$(BUILD)/coverage CC=clang \
	    CFLAGS='-O0 -g -fprofile-instr-generate -fcoverage-mapping' coverage-programs
	MEGA_BUILD=$(BUILD)/coverage tests/coverage $(COVERAGE)

# ---- Installing the packages that are needed ---------------------------------------------------------

packages:
	@tools/install-packages build
packages-test:
	@tools/install-packages build test
packages-wheel:
	@tools/install-packages build wheel
packages-web:
	@tools/install-packages web
packages-web-test:
	@tools/install-packages build web web-test
packages-cluster:
	@tools/install-packages cluster

# The programs look for models next to their own folder; with another BUILD these are not there.
SHIPPED := $(if $(filter-out build,$(BUILD)),MEGA_MODELS=$(CURDIR)/models)

demo: packages
	$(MAKE) all
	@echo
	$(SHIPPED) $(BUILD)/mega-run classify models/speech-commands/yes.wav
	echo 'Two dogs are playing in the snow.' | $(SHIPPED) $(BUILD)/mega-run translate
	$(SHIPPED) $(BUILD)/mega-run translate --to en 'Guten Morgen, wo ist der Bahnhof?'
	$(SHIPPED) $(BUILD)/mega-run classify models/reviews-en/good.txt models/reviews-en/bad.txt
	$(SHIPPED) $(BUILD)/mega-run generate --seed 3 --max-tokens 200 --temperature 0.7 'ROMEO:'

# ---- Installation ----------------------------------------------------------------------------------

bindir     := $(DESTDIR)$(PREFIX)/bin
libdir     := $(DESTDIR)$(PREFIX)/lib
includedir := $(DESTDIR)$(PREFIX)/include
datadir    := $(DESTDIR)$(PREFIX)/share
HEADERS    := src/mega.h src/mega_engine.h
MODELS     := $(wildcard models/*/*.mega)
COMMANDS   := $(notdir $(BINARIES))
# The installed completions of the command $(1), for bash, zsh and fish.
completion = $(datadir)/bash-completion/completions/$(1) \
    $(datadir)/zsh/vendor-completions/_$(1) $(datadir)/fish/vendor_completions.d/$(1).fish

install: all
	install -d $(bindir) $(includedir) $(libdir)/pkgconfig $(datadir)/man/man1 $(datadir)/man/man3 \
	    $(datadir)/man/man5 $(datadir)/mega
	install -m 755 $(BINARIES) $(bindir)
	install -m 644 $(HEADERS) $(includedir)
	@for l in libmega libmega-media; do \
	    install -m 644 $(BUILD)/$$l.a $(libdir) && \
	    install -m 755 $(BUILD)/$$l.so $(libdir)/$$l.so.$(VERSION) && \
	    ln -sf $$l.so.$(VERSION) $(libdir)/$$l.so.0 && \
	    ln -sf $$l.so.0 $(libdir)/$$l.so || exit 1; done
	@echo "$$PKG_CONFIG" > $(libdir)/pkgconfig/mega.pc
	@echo "$$PKG_CONFIG_MEDIA" > $(libdir)/pkgconfig/mega-media.pc
	install -m 644 man/*.1 $(datadir)/man/man1
	install -m 644 man/*.3 $(datadir)/man/man3
	install -m 644 man/*.5 $(datadir)/man/man5
	install -m 644 man/mega.schema.json $(MODELS) $(datadir)/mega
	@for c in $(COMMANDS); do \
	    install -D -m 644 tools/completion/mega.bash \
	        $(datadir)/bash-completion/completions/$$c && \
	    install -D -m 644 tools/completion/mega.zsh $(datadir)/zsh/vendor-completions/_$$c && \
	    install -D -m 644 tools/completion/mega.fish \
	        $(datadir)/fish/vendor_completions.d/$$c.fish || exit 1; done
	@$(if $(DESTDIR),,tools/after-install $(PREFIX))

# Removes the files of install, and the folders that were made for them alone.
uninstall:
	rm -f $(COMMANDS:%=$(bindir)/%) $(HEADERS:src/%=$(includedir)/%) \
	    $(foreach l,$(LIBRARIES),$(libdir)/$(l)) \
	    $(foreach l,$(filter %.so,$(LIBRARIES)),$(libdir)/$(l).0 $(libdir)/$(l).$(VERSION)) \
	    $(libdir)/pkgconfig/mega.pc $(libdir)/pkgconfig/mega-media.pc \
	    $(foreach n,1 3 5,$(patsubst man/%,$(datadir)/man/man$(n)/%,$(wildcard man/*.$(n)))) \
	    $(datadir)/mega/mega.schema.json $(addprefix $(datadir)/mega/,$(notdir $(MODELS))) \
	    $(foreach c,$(COMMANDS),$(call completion,$(c)))
	-rmdir --ignore-fail-on-non-empty $(datadir)/mega
	@$(if $(DESTDIR),,tools/after-install $(PREFIX) removed)

# Makes a Debian package, $(BUILD)/mega_VERSION_ARCHITECTURE.deb.
deb: all
	+tools/package $(BUILD)

# ---- Python ----------------------------------------------------------------------------------------

# Makes a wheel, $(BUILD)/wheel/megarun-*.whl, without the optional libraries and those under the GPL.
WHEEL_BUILD := $(BUILD)/own
wheel: packages-wheel
	$(MAKE) BUILD=$(WHEEL_BUILD) WITH_OPENBLAS=0 WITH_FFTW=0 WITH_SERVER=0 \
	    WITH_LIBDEFLATE=0 all
	tools/python/make_wheel $(WHEEL_BUILD) $(BUILD)/wheel

# Installs the wheel into a new environment without a compiler, and compares it with mega-run.
wheel-test: wheel
	tools/python/test_wheel $(WHEEL_BUILD) $(BUILD)/wheel

# ---- The browser -----------------------------------------------------------------------------------

# Makes $(BUILD)/web, which any static server serves: a page, the engine as WebAssembly, the models.
WASM_BUILD := $(BUILD)/wasm
WASM_CC    := clang --target=wasm32-wasi -msimd128
WASM_LIBS  := $(abspath $(WASM_BUILD))/libraries
web: packages-web
	tools/web/libraries $(WASM_LIBS) $(WASM_CC)
	$(MAKE) BUILD=$(WASM_BUILD) CC='$(WASM_CC) -isystem $(WASM_LIBS)/include' AR=llvm-ar \
	    CFLAGS='-O2 -DNDEBUG' LDFLAGS='-L$(WASM_LIBS)/lib' WITH_SYSTEM=0 WITH_OPENBLAS=0 WITH_FFTW=0 \
	    WITH_SERVER=0 WITH_LIBDEFLATE=0 SANITIZE= $(WASM_BUILD)/mega.wasm
	@rm -rf $(BUILD)/web && mkdir -p $(BUILD)/web/models
	cp tools/web/site/* $(WASM_BUILD)/mega.wasm $(BUILD)/web
	cp $(wildcard models/*/*.mega) $(BUILD)/web/models

WEB_SRC := tools/web/mega_web.c tools/web/surface.c tools/run/classes.c tools/run/events.c \
    tools/run/pictures/observe.c tools/run/pictures/spectrum.c tools/run/pictures/canvas.c \
    tools/run/pictures/chart.c tools/run/pictures/explain_input.c \
    tools/run/pictures/explain_text.c tools/run/pictures/explain_reader.c \
    tools/run/pictures/explain_parts.c
$(BUILD)/mega.wasm: $(call obj,$(WEB_SRC)) $(BUILD)/libmega.a tools/web/imports
	$(say) LINK $@
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -mexec-model=reactor -Wl,--gc-sections,--strip-all \
	    -Wl,-z,stack-size=1048576,--stack-first,--allow-undefined-file=tools/web/imports -o $@ \
	    $(filter %.o %.a,$^) -lsamplerate -lpcre2-8 -lz

# Uses the page in headless Chromium, and compares its results with those of mega-run.
web-test: packages-web-test web $(BUILD)/mega-run $(BUILD)/mega-convert
	tools/web/test $(BUILD)

# Compares Spark, Ray, GNU parallel and the environment of Slurm, with two workers each, with one process.
cluster-test: all wheel packages-cluster
	tools/cluster/test $(BUILD) $(BUILD)/wheel

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
