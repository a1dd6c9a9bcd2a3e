# minke
#   make            the program, ./minke          make chat       all set-up, then a chat
#   make test       all tests                     make lint       house rules
#   make kcheck     kernels only                  make fuzz       parsers of outside bytes
#   make recipe     trains such a tiny model      make zero-demo  its first stages, in 10 minutes
#   make deps       installs what is missing      make install    PREFIX, DESTDIR
#   make soak       64 bad clients, half an hour
#
#   CC=clang        another compiler            SAN=address,undefined   sanitizers
#   DEBUG=1         no optimisation             WERROR=1                warnings are errors
#   V=1             prints whole commands
#   RUN="qemu-aarch64 -L /usr/aarch64-linux-gnu" runs foreign test programs
CC      := $(if $(filter default,$(origin CC)),gcc,$(CC))
ARCH    := $(shell $(CC) -dumpmachine | cut -d- -f1)
VERSION := $(shell sed -n 's/^## \([0-9.]*\).*/\1/p' CHANGES.md | head -n 1)
comma   := ,
B       ?= build/$(notdir $(CC))-$(ARCH)$(if $(SAN),-$(subst $(comma),-,$(SAN)))$(if $(DEBUG),-debug)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wundef -Wvla -Wcast-qual -Wwrite-strings \
        -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wformat=2 \
        -Wdouble-promotion -Wimplicit-fallthrough -Wnull-dereference $(if $(WERROR),-Werror)
CFLAGS ?= $(if $(DEBUG),-O0,-O2) -g
ALL := -std=c11 -D_GNU_SOURCE -DMK_VERSION='"$(VERSION)"' -Isrc -MMD -MP $(WARN) \
       -fno-math-errno -ffp-contract=off -fno-common -pthread \
       $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
LIBS := -ljansson -lpcre2-8 -lutf8proc -ledit -lmicrohttpd -lcurl -lnettle -lseccomp -lm

Q    := $(if $V,,@)
say  := $(if $V,@:,@echo ' ')
link  = $(if $V,,@echo '  LD' $@;) $(CC)

# One folder for each instruction set; only these see more than the baseline.
isa_x86_64       := avx2 avx512 avx512bf16 amx
isa_aarch64      := neon dotprod
FLAGS_avx2       := -mavx2 -mfma -mf16c
FLAGS_avx512     := $(FLAGS_avx2) -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni \
                    -mavx512vbmi -mprefer-vector-width=512
FLAGS_avx512bf16 := $(FLAGS_avx512) -mavx512bf16
FLAGS_amx        := $(FLAGS_avx512bf16) -mamx-tile -mamx-bf16
FLAGS_dotprod    := -march=armv8.2-a+dotprod

# Layers, lowest first.  A test of a layer links with that layer and those below.
LAYERS := base hub quant kernels tensor formats token chat model engine train server
src_of  = $(sort $(wildcard src/$1/*.c))
src_kernels := src/kernels/kernels.c $(wildcard src/kernels/scalar/*.c) \
               $(foreach i,$(isa_$(ARCH)),$(wildcard src/kernels/$i/*.c))
$(foreach l,$(filter-out kernels,$(LAYERS)) cli,$(eval src_$l := $(call src_of,$l)))
obj_of  = $(patsubst %.c,$B/%.o,$(src_$1)) $(if $(filter server,$1),$B/src/server/web.o)
upto_base    := base
upto_hub     := base hub
upto_quant   := base quant
upto_kernels := base quant kernels
upto_tensor  := base quant kernels tensor
upto_formats := base quant formats
upto_token   := base quant formats token
upto_chat    := base quant formats token chat
upto_model   := base quant kernels tensor formats model
upto_engine  := $(filter-out hub train server,$(LAYERS))
upto_train   := $(filter-out hub server,$(LAYERS))
upto_server  := $(filter-out hub train,$(LAYERS))
upto_cli     := $(LAYERS)
libs_base :=
libs_hub     := -lcurl -ljansson -lnettle -lm
libs_quant   := -lm
libs_kernels := -lm
libs_tensor  := -lm
libs_formats := -ljansson -lm
libs_token   := -ljansson -lpcre2-8 -lutf8proc -lm
libs_chat    := $(libs_token)
libs_model   := -ljansson -lm
libs_engine  := $(libs_token) -lnettle
libs_train   := $(libs_engine)
libs_server  := $(libs_engine) -lmicrohttpd -lseccomp
libs_cli     := $(LIBS)

minke: $B/minke
	@ln -sf $< $@
$B/minke: $(foreach l,$(LAYERS) cli,$(call obj_of,$l)) $B/src/cli/tiny.o
	$(link) $(ALL) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)
$B/%.o: %.c
	@mkdir -p $(@D)
	$(say) CC $<
	$Q$(CC) $(ALL) $(CFLAGS) $(FLAGS_$(notdir $(<D))) -c -o $@ $<
.DEFAULT_GOAL := minke

# The model inside the program.
TINY := models/tiny/tiny.gguf
$B/src/cli/tiny.o: src/cli/tiny.S $(TINY)
	@mkdir -p $(@D)
	$(say) AS $< with $(TINY)
	$Q$(CC) -DMK_TINY='"$(TINY)"' -c -o $@ $<
$(TINY):
	@echo "$@, the model inside the program, is missing: git checkout $@" >&2; exit 1

# The page inside the program.
$B/src/server/web.o: src/server/web.S src/server/web.def $(wildcard web/*)
	@mkdir -p $(@D)
	$(say) AS $<
	$Q$(CC) -Isrc -c -o $@ $<

# A fresh machine may lack the compiler too, so what depends on it is asked in a second make.
headers := setjmp jansson pcre2 utf8proc histedit microhttpd seccomp curl/curl nettle/sha2 cmocka
scripts := $(shell sed -n 's,.*"\(/usr/[^"]*\)".*,\1,p' src/server/web.def)
missing := $(if $(foreach h,$(headers),$(if $(wildcard /usr/include/$h.h /usr/include/*/$h.h),,$h)) \
                $(filter-out $(wildcard $(scripts)),$(scripts)),deps)
again    = $(MAKE) --no-print-directory $(if $(findstring j,$(firstword -$(MAKEFLAGS))),,-j$$(nproc))

# ---- tests --------------------------------------------------------------------
# tests/LAYER/test_*.c are cmocka programs, tests/LAYER/test_*.sh scripts that get the
# program and a tiny model; tests/fuzz/fuzz_*.c are replayed over their corpora.
define layer_rules
tests_$1 := $$(patsubst tests/$1/%.c,$B/tests/$1/%,$$(sort $$(wildcard tests/$1/test_*.c)))
$$(tests_$1): $B/tests/$1/%: $B/tests/$1/%.o $$(foreach l,$$(upto_$1),$$(call obj_of,$$l))
	$$(link) $$(ALL) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ -lcmocka $$(libs_$1) -lm
test-$1: $$(tests_$1) ; tests/run.sh $$(tests_$1)
endef
$(foreach l,$(LAYERS),$(eval $(call layer_rules,$l)))

# 100,000 problems of each task: the own answers score 1.
tasks-full: $B/tests/train/test_tasks ; $< full

src_kcheck := $(wildcard tests/kcheck/*.c)
$B/kcheck: $(src_kcheck:%.c=$B/%.o) $(foreach l,$(upto_kernels),$(call obj_of,$l))
	$(link) $(ALL) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lm
kcheck: $B/kcheck ; $(RUN) $<
kcheck-arm:
	@$(again) CC=aarch64-linux-gnu-gcc RUN="qemu-aarch64 -L /usr/aarch64-linux-gnu" kcheck

# Gradients against differences: the same sources with float meaning double, scalar kernels only.
DOUBLE := -include tests/grad/double.h -Wno-double-promotion
src_double := $(foreach l,base quant tensor formats model,$(src_$l)) src/kernels/kernels.c \
              $(wildcard src/kernels/scalar/*.c) tests/grad/isa.c
tests_grad := $(patsubst tests/grad/%.c,$B/double/%,$(sort $(wildcard tests/grad/test_*.c)))
$B/double/%.o: %.c
	@mkdir -p $(@D)
	$(say) CC $< in double
	$Q$(CC) $(ALL) $(CFLAGS) $(if $(filter %/half.c,$<),,$(DOUBLE)) -c -o $@ $<
$(tests_grad): $B/double/%: $B/double/tests/grad/%.o $(src_double:%.c=$B/double/%.o)
	$(link) $(ALL) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka $(libs_model)
test-grad: $(tests_grad) ; tests/run.sh $(tests_grad)

# Parsers of outside bytes: FUZZ_target is the layer they need, wrap_target what they replace.
fuzz_targets  := $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_tokenizer := token
FUZZ_chat      := chat
FUZZ_jsonl     := train
FUZZ_grammar   := engine
FUZZ_hub       := hub
FUZZ_prefix    := engine
FUZZ_request   := server
wrap_request   := -Wl,--wrap=mk_service_submit
fuzz_upto = $(upto_$(or $(FUZZ_$1),formats))
fuzz_libs = $(libs_$(or $(FUZZ_$1),formats))
define fuzz_rules
$B/fuzz/replay_$1: $B/tests/fuzz/fuzz_$1.o $B/tests/fuzz/replay.o $$(foreach l,$$(call fuzz_upto,$1),$$(call obj_of,$$l))
	@mkdir -p $$(@D)
	$$(link) $$(ALL) $$(CFLAGS) $$(LDFLAGS) $$(wrap_$1) -o $$@ $$^ $$(call fuzz_libs,$1)
$B/fuzz/fuzz_$1: $B/tests/fuzz/fuzz_$1.o $$(foreach l,$$(call fuzz_upto,$1),$$(call obj_of,$$l))
	@mkdir -p $$(@D)
	$$(link) $$(ALL) -fsanitize=fuzzer $$(CFLAGS) $$(LDFLAGS) $$(wrap_$1) -o $$@ $$^ $$(call fuzz_libs,$1)
endef
$(foreach t,$(fuzz_targets),$(eval $(call fuzz_rules,$t)))

src_mkmodel := $(wildcard tools/mkmodel*.c)
$B/mkmodel: $(src_mkmodel:%.c=$B/%.o) $(foreach l,base quant formats,$(call obj_of,$l))
	$(link) $(ALL) $(CFLAGS) $(LDFLAGS) -o $@ $^ -ljansson -lm
build/tiny: | $B/mkmodel
	rm -rf $@ && $B/mkmodel --shape tiny-v3 --type bf16 --out $@

test: $(missing) ; @$(again) test-now
test-now: $(foreach l,$(LAYERS),$(tests_$l)) $(tests_grad) $B/kcheck $B/minke $B/mkmodel build/tiny \
      $(fuzz_targets:%=$B/fuzz/replay_%)
	tests/run.sh $(foreach l,$(LAYERS),$(tests_$l)) $(tests_grad) $B/kcheck \
	  $(foreach t,$(fuzz_targets),"$B/fuzz/replay_$t tests/fuzz/corpus/$t") \
	  $(foreach t,$(sort $(wildcard tests/*/test_*.sh)),"$t $B/minke build/tiny $B/mkmodel")

lint:
	tests/rules/layers.sh
	tests/rules/sizes.sh
	tests/rules/format.sh
	@$(again) minke >/dev/null && tests/rules/isa_leak.sh $B

# Each target for FUZZ_TIME seconds: make fuzz [FUZZ_TIME=600] [FUZZ=gguf]
FUZZ_TIME ?= 600
FUZZ      ?= $(fuzz_targets)
fuzz:
	$(MAKE) CC=clang SAN=fuzzer-no-link,address,undefined $(FUZZ:%=build/fuzz/fuzz/fuzz_%) B=build/fuzz
	@set -e; for t in $(FUZZ); do mkdir -p build/fuzz/corpus/$$t build/fuzz/found; \
	  echo "== $$t"; build/fuzz/fuzz/fuzz_$$t -max_total_time=$(FUZZ_TIME) -rss_limit_mb=4096 \
	  -timeout=10 -artifact_prefix=build/fuzz/found/$$t- -print_final_stats=1 \
	  build/fuzz/corpus/$$t tests/fuzz/corpus/$$t 2>&1 | tail -n 12; done

# A server, killed now and then, among clients that behave badly: make soak [SOAK_S=1800]
SOAK_S ?= 1800
soak: minke ; tests/api/soak.py $B/minke --seconds $(SOAK_S)

# How much each weight type changes a model's answers, on random weights.
TYPES := f32 f16 q8_0 q6_k q5_k q5_1 q5_0 q4_k q4_1 q4_0 iq4_nl iq4_xs mxfp4 q3_k q2_k
$B/type_error: $B/bench/type_error.o $(foreach l,$(upto_model),$(call obj_of,$l))
	$(link) $(ALL) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(libs_model)
type-error: $B/type_error $B/minke $B/mkmodel
	rm -rf build/types && mkdir -p build/types
	$B/mkmodel --shape small-qwen2 --type bf16 --out build/types/bf16
	for t in $(TYPES); do $B/minke quantize build/types/bf16 build/types/$$t.gguf --type $$t >/dev/null || exit; done
	$B/minke convert build/types/bf16 build/types/f8 --type f8
	$< build/types/bf16 build/types/f8 $(TYPES:%=build/types/%.gguf)

# The picture of bench/depth.
$B/curves: $B/bench/curves.o $(foreach l,$(upto_train),$(call obj_of,$l))
	$(link) $(ALL) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(libs_train)

# A model like the one inside the program, from a seed, with all controls.  recipe-seeds: a short
# one from each of three seeds, and how far they differ.  zero-demo: a base model and RL from it.
recipe: minke ; models/recipe
recipe-seeds: minke
	for s in 1 2 3; do models/recipe --size short --seed $$s || exit; done
	models/recipe --spread build/recipe-short-1 build/recipe-short-2 build/recipe-short-3
zero-demo: minke ; models/recipe --size demo

# ---- set-up, use ------------------------------------------------------------------
DEPS := gcc make libjansson-dev libpcre2-dev libutf8proc-dev libedit-dev \
        libmicrohttpd-dev libcurl4-gnutls-dev nettle-dev libseccomp-dev libcmocka-dev \
        libjs-marked node-dompurify libjs-katex libjs-highlight.js
DEPS_DEV := clang clang-format-14 libclang-rt-14-dev binutils \
            qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross
chat: $(missing) ; @$(again) chat-now
chat-now: minke
	@./minke chat $(if $(MODEL),-m $(MODEL),)
deps: ; @tools/deps.sh $(DEPS)
deps-dev: ; @tools/deps.sh $(DEPS) $(DEPS_DEV)

PREFIX ?= /usr/local
bindir ?= $(PREFIX)/bin
mandir ?= $(PREFIX)/share/man
install: minke
	install -D -m 755 $B/minke $(DESTDIR)$(bindir)/minke
	mkdir -p $(DESTDIR)$(mandir)/man1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
	  $(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	$B/minke man > $(DESTDIR)$(mandir)/man1/minke.1
	$B/minke completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/minke
	$B/minke completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_minke
	$B/minke completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/minke.fish

clean: ; rm -rf build minke
help: ; @sed -n '/^# minke/,/^CC /p' Makefile | sed '$$d'
.PHONY: soak recipe recipe-seeds zero-demo tasks-full kcheck kcheck-arm test test-now test-grad lint fuzz type-error chat chat-now deps deps-dev install clean help $(LAYERS:%=test-%)
.SECONDARY:

-include $(shell find $B -name '*.d' 2>/dev/null)
