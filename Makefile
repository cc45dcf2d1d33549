# facegen: make            builds everything that the tools found here allow, and says what it found
#          make help       lists the targets and the switches

# Switches, which only make's command line sets: in the environment, clusters' modules mean other things by CUDA or MPI.
PREFIX := /usr/local
CUDA := 1
MPI := 1
OPENMP := 1
DEBUG := 0
WERROR := 0
SANITIZE :=
CUARCH :=
SRC :=
ID :=
NAME :=
$(foreach s,CUDA MPI OPENMP DEBUG WERROR,$(if $(filter-out 0 1,$($(s))),$(error $(s)=$($(s)): expected 0 or 1)))

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

comma := ,
hash := \#
empty :=
space := $(empty) $(empty)

# ---- What is here ----------------------------------------------------------------------------------------------------

NVCC ?= nvcc
MPICXX ?= mpicxx
LEAST_CUDA := 11.8
# $(call probe,CODE,OPTIONS): yes where $(CXX) makes a program of CODE.
probe = printf '%s\nint main() {}\n' '$(1)' | \
        $(CXX) $(CPPFLAGS) $(CXXFLAGS) -x c++ - -o /dev/null $(LDFLAGS) $(2) 2> /dev/null && echo yes

NVCC_PATH := $(if $(filter 1,$(CUDA)),$(shell command -v $(lastword $(NVCC)) 2> /dev/null))
CUDA_VERSION := $(if $(NVCC_PATH),$(shell $(NVCC) --version | sed -n 's/.*release \([0-9.]*\).*/\1/p'))
HAVE_CUDA := $(if $(CUDA_VERSION),$(shell printf '%s\n' $(LEAST_CUDA) $(CUDA_VERSION) | sort -V -C && echo yes))
absent = $(if $(filter 1,$($(1))),not found,off)
NO_CUDA := $(if $(NVCC_PATH),not used ($(NVCC_PATH) is older than CUDA $(LEAST_CUDA)),$(call absent,CUDA))

# Both Open MPI's and MPICH's wrapper print the command that they would run.
MPI_COMMAND := $(if $(filter 1,$(MPI)),$(shell OMPI_CXX=c++ MPICH_CXX=c++ $(MPICXX) -show 2> /dev/null))
MPI_INCLUDES = $(patsubst -I%,-isystem %,$(filter -I%,$(MPI_COMMAND)))
MPI_LIBS = $(filter-out -I% -D%,$(wordlist 2,$(words $(MPI_COMMAND)),$(MPI_COMMAND)))
HAVE_MPI := $(if $(MPI_COMMAND),$(shell $(call probe,$(hash)include <mpi.h>,$(MPI_INCLUDES) $(MPI_LIBS))))
MPI_COMMAND := $(if $(HAVE_MPI),$(MPI_COMMAND))

HAVE_OPENMP := $(if $(filter 1,$(OPENMP)),$(shell $(call probe,$(hash)include <omp.h>,-fopenmp)))
HAVE_PNG := $(shell $(call probe,$(hash)include <png.h>,-lpng))

# GPU architectures: CUARCH, else those of this machine's GPUs, or for each that this nvcc does not know the nearest one
# below, whose PTX the driver compiles; else one program for all that matter.
ifneq ($(HAVE_CUDA),)
  HOPPER_ARCH := $(if $(filter 11.%,$(CUDA_VERSION)),90,90a)
  KNOWN_ARCHS := $(shell $(NVCC) --list-gpu-code | sed 's/sm_//' | sort -n)
  LOCAL_ARCHS := $(shell nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2> /dev/null | \
                         tr -d . | grep -x '[0-9]*')
  nearest_known = $(shell printf '%s\n' $(KNOWN_ARCHS) | awk '$$1 <= $(1)' | tail -n 1)
  nearest_arch = $(if $(filter 90,$(1)),$(HOPPER_ARCH),$(nearest_known))
  ARCHS := $(or $(subst $(comma), ,$(CUARCH)),$(sort $(foreach a,$(LOCAL_ARCHS),$(call nearest_arch,$(a)))),\
             $(patsubst 90,$(HOPPER_ARCH),$(filter 80 86 89 90 100 120,$(KNOWN_ARCHS))))
  UNKNOWN_ARCHS := $(filter-out $(KNOWN_ARCHS) $(KNOWN_ARCHS:%=%a) $(KNOWN_ARCHS:%=%f),$(ARCHS))
  ifneq ($(UNKNOWN_ARCHS),)
    $(error CUARCH: CUDA $(CUDA_VERSION) does not know $(UNKNOWN_ARCHS); it knows $(KNOWN_ARCHS))
  endif
  NEWEST_PLAIN := $(lastword $(shell printf '%s\n' $(filter-out %a %f,$(ARCHS)) | sort -n))
  GENCODE := $(foreach a,$(ARCHS),-gencode arch=compute_$(a)$(comma)code=sm_$(a)) \
             $(if $(NEWEST_PLAIN),-gencode arch=compute_$(NEWEST_PLAIN)$(comma)code=compute_$(NEWEST_PLAIN))
endif

# ---- Flags -----------------------------------------------------------------------------------------------------------

STRICT := $(filter 1,$(WERROR))
OPTIMISE := $(if $(filter 1,$(DEBUG))$(SANITIZE),-O1 -g,-O3)
SANITIZER := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer)
CXXFLAGS_ALL = -std=c++17 $(OPTIMISE) -Wall -Wextra $(STRICT:1=-Werror) -pthread -I. -MMD -MP $(SANITIZER) \
                $(CPPFLAGS) $(CXXFLAGS)
LDFLAGS_ALL = -pthread $(SANITIZER) $(LDFLAGS)
LDLIBS_IO := $(if $(HAVE_PNG),-lpng)

# -ffp-contract=off: the reference rounds after every operation, on every compiler.
SEQ_FLAGS := -ffp-contract=off
IO_FLAGS := $(if $(HAVE_PNG),-DFACEGEN_PNG)
OPENMP_FLAGS := $(if $(HAVE_OPENMP),-fopenmp)

MPI_FLAGS := -DOMPI_SKIP_MPICXX -DMPICH_SKIP_MPICXX $(MPI_INCLUDES)
ifneq ($(HAVE_CUDA),)
  NVCCFLAGS_ALL = -std=c++17 $(if $(filter 1,$(DEBUG)),-O1 -g -lineinfo,-O3) $(GENCODE) \
                  $(STRICT:1=-Werror all-warnings -Xcompiler -Werror) \
                  -Xcompiler -Wall,-Wextra,-Wno-unused-parameter,-pthread \
                  -I. -MMD -MP $(CPPFLAGS) $(NVCCFLAGS)
  # nvcc says where its own libraries lie.
  CUDA_PATHS := $(shell $(lastword $(NVCC)) --dryrun -x cu -c /dev/null 2>&1 | sed -n 's/.*LIBRARIES=//p')
  CUDA_LIBS := $(CUDA_PATHS) -lcudart_static -ldl -lrt
endif

LDLIBS_PARALLEL = $(OPENMP_FLAGS) $(MPI_LIBS) $(CUDA_LIBS)

# ---- Objects ---------------------------------------------------------------------------------------------------------
# One folder for each set of switches, so that changing a switch never mixes objects. Kernels, which take long, have one
# for each set of architectures.

folder = build/$(subst /,_,$(subst $(comma),-,$(subst $(space),-,$(strip $(1)))))
HAVE_DEBUG := $(patsubst 1,debug,$(filter 1,$(DEBUG)))
CUDA_CONFIG := $(HAVE_CUDA:yes=cuda-$(CUDA_VERSION)-$(ARCHS)) $(HAVE_DEBUG)
BUILD := $(call folder,$(CXX) $(CUDA_CONFIG) $(HAVE_MPI:yes=$(MPICXX)) $(HAVE_OPENMP:yes=openmp) $(HAVE_PNG:yes=png) \
                       $(SANITIZE))
KERNEL_BUILD := $(call folder,$(CUDA_CONFIG))

objects = $(patsubst %.cpp,$(BUILD)/%.o,$(wildcard $(1)/*.cpp))
IO_OBJECTS := $(call objects,io)
COMMON_OBJECTS := $(call objects,common)
DRIVER_PARTS := $(filter-out %/seq_hooks.o,$(call objects,driver)) $(IO_OBJECTS) $(COMMON_OBJECTS)
DRIVER_OBJECTS := $(BUILD)/main.o $(DRIVER_PARTS)
CPU_OBJECTS := $(call objects,cpu)
NOT_BUILT := $(if $(filter 11.%,$(CUDA_VERSION)),kernels/hopper/%,kernels/no_hopper.cu)
KERNELS := $(filter-out $(NOT_BUILT),$(wildcard kernels/*.cu kernels/*/*.cu))
GPU_OBJECTS := $(if $(HAVE_CUDA),$(KERNELS:%.cu=$(KERNEL_BUILD)/%.o),$(BUILD)/kernels/no_gpu.o)
# The ranks of a job, with MPI and without. A unit of `make custom` may start and end MPI itself.
JOB := $(addprefix $(BUILD)/run/,ranks.o launch.o daemon.o cpus.o)
SINGLE_RANK := $(JOB) $(BUILD)/run/ranks_single.o
RANKS := $(if $(HAVE_MPI),$(JOB) $(BUILD)/run/ranks_mpi.o,$(SINGLE_RANK))
CUSTOM_MPI := $(if $(HAVE_MPI),$(BUILD)/run/custom_mpi.o)
RUN_OBJECTS := $(filter-out $(JOB) $(BUILD)/run/ranks% %/custom_mpi.o,$(call objects,run))
PARALLEL_OBJECTS := $(CPU_OBJECTS) $(GPU_OBJECTS) $(RUN_OBJECTS) $(BUILD)/facegen_parallel.o

.PRECIOUS: $(BUILD)/%.o $(KERNEL_BUILD)/%.o
$(BUILD)/%.o: %.cpp
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS_ALL) $(EXTRA_FLAGS) -c $< -o $@

$(KERNEL_BUILD)/%.o: %.cu
	@mkdir -p $(@D)
	$(NVCC) $(NVCCFLAGS_ALL) -c $< -o $@

# The story of a run holds no CUDA: any C++ compiler takes it.
$(BUILD)/facegen_parallel.o: facegen_parallel.cu
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS_ALL) -x c++ -c $< -o $@

$(BUILD)/facegen_seq.o: EXTRA_FLAGS = $(SEQ_FLAGS)
$(IO_OBJECTS): EXTRA_FLAGS = $(IO_FLAGS)
$(CPU_OBJECTS): EXTRA_FLAGS = $(OPENMP_FLAGS)
# One source, compiled for each kind of vector unit; which one runs is decided at run time. Its sums are meant to fuse.
$(filter $(BUILD)/cpu/kernels_%,$(CPU_OBJECTS)): EXTRA_FLAGS += -ffp-contract=fast
ifneq ($(filter x86_64%,$(shell $(CXX) -dumpmachine)),)
  $(BUILD)/cpu/kernels_avx2.o: EXTRA_FLAGS += -mavx2 -mfma
  $(BUILD)/cpu/kernels_avx512.o: EXTRA_FLAGS += -mavx512f -mfma
endif

$(BUILD)/run/ranks_mpi.o $(CUSTOM_MPI): EXTRA_FLAGS = $(MPI_FLAGS)

# ---- Programs --------------------------------------------------------------------------------------------------------

.PHONY: all found seq parallel custom lib lib-flags run answers test faults test-gpu fuzz run-fuzzers bench bench-gpu \
        bench-gpus report submission install uninstall deb clean format help

all: found seq parallel compare_result

found:
	@echo "CUDA    $(if $(HAVE_CUDA),$(CUDA_VERSION) ($(NVCC_PATH)) for $(ARCHS),$(NO_CUDA): the CPU computes)"
	@echo "MPI     $(if $(HAVE_MPI),found ($(MPICXX)),$(call absent,MPI): facegen_parallel is one process)"
	@echo "OpenMP  $(if $(HAVE_OPENMP),found,$(call absent,OPENMP): one thread a process)"
	@echo "libpng  $(if $(HAVE_PNG),found,not found: pictures as .bmp only)"

seq: facegen_seq
parallel: facegen_parallel

# Programs lie at the top; a build with other switches replaces them.
facegen_seq facegen_parallel compare_result libfacegen.a: %: $(BUILD)/bin/% FORCE
	@cmp -s $< $@ || cp -f $< $@
FORCE:

$(BUILD)/bin/facegen_seq: $(BUILD)/facegen_seq.o $(BUILD)/driver/seq_hooks.o $(DRIVER_OBJECTS) $(SINGLE_RANK)
	@mkdir -p $(@D)
	$(CXX) $(LDFLAGS_ALL) $^ $(LDLIBS_IO) $(LDLIBS) -o $@

$(BUILD)/bin/facegen_parallel: $(PARALLEL_OBJECTS) $(DRIVER_OBJECTS) $(RANKS)
	@mkdir -p $(@D)
	$(CXX) $(LDFLAGS_ALL) $^ $(LDLIBS_IO) $(LDLIBS_PARALLEL) $(LDLIBS) -o $@

# Of these parts, what a program needs.
$(BUILD)/parts.a: $(DRIVER_PARTS)
	rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/bin/compare_result: $(BUILD)/compare_result.o $(BUILD)/parts.a
	@mkdir -p $(@D)
	$(CXX) $(LDFLAGS_ALL) $^ $(LDLIBS) -o $@

# The parallel program's three functions for somebody else's driver.
lib: libfacegen.a
	@echo "libfacegen.a goes with facegen.h into any driver: $(CXX) main.o libfacegen.a $(LIB_FLAGS)"
lib-flags:
	@echo "$(LIB_FLAGS)"
LIB_FLAGS = $(strip $(LDFLAGS_ALL) $(LDLIBS_PARALLEL) -lstdc++ -lm)

$(BUILD)/bin/libfacegen.a: $(PARALLEL_OBJECTS) $(COMMON_OBJECTS) $(RANKS)
	@mkdir -p $(@D)
	rm -f $@
	$(AR) rcs $@ $^

# The driver with somebody's own three functions, compiled as the course does: their options, their warnings.
CUSTOM := facegen_custom
UNIT_FLAGS = -O3 $(MPI_INCLUDES) $(CPPFLAGS)
custom: export COMPILE_C = $(CC) $(UNIT_FLAGS) $(CFLAGS)
custom: export COMPILE_CXX = $(CXX) $(UNIT_FLAGS) $(CXXFLAGS)
custom: export COMPILE_CUDA = $(if $(HAVE_CUDA),$(NVCC) $(GENCODE) $(UNIT_FLAGS) $(NVCCFLAGS))
custom: export LINK = $(CXX) $(LDFLAGS_ALL)
custom: export LIBS = $(LDLIBS_IO) $(LDLIBS_PARALLEL) $(LDLIBS) -lm
custom: $(DRIVER_OBJECTS) $(RANKS) $(CUSTOM_MPI)
	@scripts/custom.sh "$(CUSTOM)" $^

# ---- Running ---------------------------------------------------------------------------------------------------------

run:
	./scripts/run.sh

# What facegen_seq gives for the shipped inputs; answer3 (92 MB, some minutes) is not committed.
answers: facegen_seq
	@mkdir -p $@
	for i in 1 2 3; do \
	  ./facegen_seq network.bin inputs/input$$i.txt answers/answer$$i.txt answers/answer$$i.bmp || exit; \
	done

# ---- Tests -----------------------------------------------------------------------------------------------------------

# The first Python that has what the tests need: that of install_deps.sh, on PATH, or Debian's.
PYTHON ?= $(or $(shell for p in .venv/bin/python python3 /usr/bin/python3; do \
                         $$p -c 'import numpy, pytest' 2> /dev/null && echo $$p && break; \
                       done),python3)
TEST_PROGRAMS := $(patsubst tests/%.cpp,$(BUILD)/tests/%,$(wildcard tests/test_*.cpp))
$(BUILD)/tests/test_io_writers.o: EXTRA_FLAGS = $(IO_FLAGS)
TEST_OBJECTS := $(DRIVER_PARTS) $(CPU_OBJECTS) $(RUN_OBJECTS) $(GPU_OBJECTS) $(RANKS)

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(TEST_OBJECTS)
	@mkdir -p $(@D)
	$(CXX) $(LDFLAGS_ALL) $^ -lgtest_main -lgtest $(LDLIBS_IO) $(LDLIBS_PARALLEL) $(LDLIBS) -o $@

MPI_TRANSFERS := $(if $(HAVE_MPI),$(BUILD)/tests/mpi_transfers)
$(BUILD)/tests/mpi_transfers: $(BUILD)/tests/mpi_transfers.o $(RANKS) $(COMMON_OBJECTS)
	$(CXX) $(LDFLAGS_ALL) $^ $(LDLIBS_PARALLEL) $(LDLIBS) -o $@

# facegen_parallel with simulated GPUs in place of kernels/.
SIMULATED := $(BUILD)/tests/simulated_gpus
$(SIMULATED): $(BUILD)/tests/simulated_gpus.o $(filter-out $(GPU_OBJECTS),$(PARALLEL_OBJECTS)) $(DRIVER_OBJECTS) \
              $(RANKS)
	$(CXX) $(LDFLAGS_ALL) $^ $(LDLIBS_IO) $(OPENMP_FLAGS) $(MPI_LIBS) -o $@

# What the tests need is asked for first: one sentence, in place of a compiler's or Python's many.
ifneq ($(filter test,$(MAKECMDGOALS)),)
  ifneq ($(shell $(PYTHON) -c 'import numpy, pytest' 2> /dev/null && echo yes),yes)
    $(error No Python here has numpy and pytest, which the tests need: scripts/install_deps.sh test)
  endif
  ifneq ($(and $(TEST_PROGRAMS),$(shell $(call probe,$(hash)include <gtest/gtest.h>,-lgtest))),yes)
    $(if $(TEST_PROGRAMS),$(warning No GoogleTest here (libgtest-dev): single layers and formats are not tested))
    override TEST_PROGRAMS :=
  endif
endif
test: all libfacegen.a $(CUSTOM_MPI) $(TEST_PROGRAMS) $(MPI_TRANSFERS) $(SIMULATED)
	FACEGEN_TEST_PROGRAMS="$(TEST_PROGRAMS)" FACEGEN_MPI_TRANSFERS="$(MPI_TRANSFERS)" FACEGEN_SIMULATED="$(SIMULATED)" \
	  $(PYTHON) -m pytest -q tests

# On a machine with a GPU: the kernels layer by layer, the programs, and everything small under compute-sanitizer.
GPU_PROGRAMS := $(addprefix $(BUILD)/gpu/,test_gpu test_tensor_cores bench_gpu accuracy_gpu)
$(BUILD)/gpu/test_gpu: tests/test_gpu.cu
$(BUILD)/gpu/test_tensor_cores: tests/test_tensor_cores.cu
$(BUILD)/gpu/bench_gpu: bench/bench_gpu.cu $(BUILD)/run/chunks.o
$(BUILD)/gpu/copy_rates: bench/copy_rates.cu $(addprefix $(BUILD)/run/,host_memory.o numa.o cpus.o)
$(BUILD)/gpu/accuracy_gpu: bench/accuracy_gpu.cu
$(GPU_PROGRAMS): $(GPU_OBJECTS) $(addprefix $(BUILD)/run/,numa.o cpus.o)
$(GPU_PROGRAMS) $(BUILD)/gpu/copy_rates:
	@mkdir -p $(@D)
	$(NVCC) $(NVCCFLAGS_ALL) $< $(filter %.o,$^) -Xcompiler -pthread -o $@

test-gpu: all $(GPU_PROGRAMS)
	PYTHON=$(PYTHON) scripts/test_gpu.sh $(BUILD)/gpu

# ---- Fuzzing ---------------------------------------------------------------------------------------------------------
# Every reader, the command line and compare_result against simple references, for SECONDS each (libFuzzer is clang's).

SECONDS ?= 10
FUZZERS := $(patsubst tests/%.cpp,$(BUILD)/%,$(wildcard tests/fuzz/*.cpp))
$(BUILD)/fuzz/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/parts.a
	@mkdir -p $(@D)
	$(CXX) $(LDFLAGS_ALL) -fsanitize=fuzzer $^ $(LDLIBS_IO) -o $@

fuzz:
	$(MAKE) CXX=clang++ CUDA=0 MPI=0 OPENMP=0 SANITIZE=fuzzer-no-link,address,undefined run-fuzzers
run-fuzzers: $(FUZZERS)
	@for f in $^; do \
	  corpus=build/corpus/$${f##*/fuzz_}; mkdir -p $$corpus; \
	  UBSAN_OPTIONS=halt_on_error=1 $$f -max_total_time=$(SECONDS) -max_len=300 -verbosity=0 -print_final_stats=1 \
	    -artifact_prefix=build/corpus/ $$corpus tests/fuzz/corpus/$${f##*/fuzz_} 2> $$corpus.log || \
	    { tail -40 $$corpus.log; exit 1; }; \
	  echo "$${f##*/}: $$(sed -n 's/stat::number_of_executed_units: *//p' $$corpus.log) inputs"; \
	done

# Every call that a run depends on fails once, in a run of its own; runs are ended by signals at random moments.
faults: all
	$(KEEP) faults-one-process $(PYTHON) tests/faults/faults.py --only text --only npy
	$(KEEP) faults-three-ranks $(PYTHON) tests/faults/faults.py --only ranks --kills 40

# ---- Measuring -------------------------------------------------------------------------------------------------------

BENCHES := $(patsubst bench/%.cpp,$(BUILD)/bench/%,$(wildcard bench/*.cpp))
BENCH_OBJECTS := $(PARALLEL_OBJECTS) $(DRIVER_PARTS) $(RANKS)

$(BUILD)/bench/%: $(BUILD)/bench/%.o $(BENCH_OBJECTS)
	@mkdir -p $(@D)
	$(CXX) $(LDFLAGS_ALL) $^ $(LDLIBS_IO) $(LDLIBS_PARALLEL) $(LDLIBS) -o $@

# Each measurement writes report/measurements/DATE-MACHINE-WHAT.json; bench/measurement.py says more.
KEEP = $(PYTHON) bench/measurement.py

# Text, CPU and whole runs on this machine.
bench: all $(BENCHES)
	$(KEEP) text $(BUILD)/bench/bench_io
	$(KEEP) layers $(BUILD)/bench/bench_cpu
	$(PYTHON) bench/whole_run.py $(BUILD)/bench/course_like_driver

# On a GPU: its limits, every kind of kernels layer by layer, whole runs beside PyTorch and JAX.
bench-gpu: all $(GPU_PROGRAMS)
	$(KEEP) gpu-layers $(BUILD)/gpu/bench_gpu
	$(KEEP) gpu-accuracy $(BUILD)/gpu/accuracy_gpu
	$(PYTHON) bench/gpu_peers.py

# Everything that several GPUs show, on a machine that has them: bench/several_gpus.py builds what it needs.
bench-gpus:
	$(PYTHON) bench/several_gpus.py

# Where scripts find them, whatever the switches.
build/copy_rates: $(BUILD)/gpu/copy_rates FORCE
build/course_like_driver: $(BUILD)/bench/course_like_driver FORCE
build/copy_rates build/course_like_driver:
	@cmp -s $< $@ || cp -f $< $@

# ---- Report and hand-in ----------------------------------------------------------------------------------------------

# The numbers of report/measurements -> report/report.pdf and README's "How fast".
report:
	scripts/install_deps.sh report
	@for p in python3 /usr/bin/python3; do \
	  if $$p -c 'import matplotlib, weasyprint' 2> /dev/null; then set -x; exec $$p report/build.py; fi; \
	done; echo "make report: no Python here has matplotlib and weasyprint: scripts/install_deps.sh report" >&2; exit 1

# ID=shpc123 -> shpc123_project.zip; its report names the author, who is ID, or NAME and ID
submission:
	@scripts/submission.sh "$$ID" "$$NAME"

# ---- Installing ------------------------------------------------------------------------------------------------------

PROGRAMS := facegen_seq facegen_parallel compare_result
VERSION := $(shell sed -n 's/.*kVersion = "\(.*\)";/\1/p' driver/options.h)
BIN = $(DESTDIR)$(PREFIX)/bin
MAN = $(DESTDIR)$(PREFIX)/share/man/man1
COMPLETIONS = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
SHARE = $(DESTDIR)$(PREFIX)/share/facegen
DOC = $(DESTDIR)$(PREFIX)/share/doc/facegen

# Manual pages from what --help prints.
MAN_PAGES := $(PROGRAMS:%=$(BUILD)/man/%.1)
$(BUILD)/man/%.1: $(BUILD)/bin/% FORCE
	@mkdir -p $(@D)
	scripts/man_page.sh $< $(VERSION) "$(PREFIX)" > $@

install: all $(MAN_PAGES)
	install -d "$(BIN)" "$(MAN)" "$(COMPLETIONS)" "$(SHARE)" "$(DOC)"
	install -m 755 $(PROGRAMS) "$(BIN)"
	install -m 644 $(MAN_PAGES) "$(MAN)"
	for p in $(PROGRAMS); do install -m 644 scripts/completion.bash "$(COMPLETIONS)/$$p"; done
	install -m 644 network.bin inputs/input1.txt inputs/input2.txt "$(SHARE)"
	install -m 644 README.md LICENSE "$(DOC)"

uninstall:
	for p in $(PROGRAMS); do rm -f "$(BIN)/$$p" "$(MAN)/$$p.1" "$(COMPLETIONS)/$$p" || exit; done
	rm -rf "$(SHARE)" "$(DOC)"

deb: all
	scripts/make_deb.sh $(VERSION)

clean:
	rm -rf build $(PROGRAMS) facegen_custom libfacegen.a

format:
	clang-format -i $(shell git ls-files '*.h' '*.cpp' '*.cu' '*.cuh')

help:
	@echo 'make [all]          what the tools found here allow: facegen_seq, facegen_parallel, compare_result'
	@echo 'make seq | parallel | compare_result | clean'
	@echo 'make custom SRC=F   facegen_custom: the driver with your facegen_init, facegen, facegen_fin: sources, a folder'
	@echo 'make lib            libfacegen.a: ours for your driver; make -s lib-flags says what to link it with'
	@echo 'make run            the main job, checked against its answer'
	@echo 'make answers        answers/ for all shipped inputs, by facegen_seq'
	@echo 'make test           every test that needs no GPU'
	@echo 'make faults         what a run leaves where one of its calls fails, or a signal ends it: thousands of runs'
	@echo 'make test-gpu       what only a GPU can show: kernels, programs, compute-sanitizer'
	@echo 'make fuzz SECONDS=10   random input for readers, options, compare_result, against simple references (clang)'
	@echo 'make bench          how fast, here: text, layers, whole runs beside a driver like the course'"'"'s'
	@echo 'make bench-gpu      how fast on a GPU, layer by layer and beside PyTorch and JAX'
	@echo 'make bench-gpus     how much faster on several GPUs of one machine: scaling, copies, equal bytes, a lost GPU'
	@echo 'make report         report/report.pdf and how-fast figures of README.md, from report/measurements'
	@echo 'make submission ID=shpc123 NAME="Your Name"   shpc123_project.zip: report.pdf and the source directory'
	@echo 'make install | uninstall   PREFIX=/usr/local DESTDIR='
	@echo 'make deb            a Debian package of what install installs'
	@echo 'Switches: CUDA=0 MPI=0 OPENMP=0 leave a part out; CUARCH=90a (or 80,90a) GPU architectures;'
	@echo '          DEBUG=1; WERROR=1; SANITIZE=address,undefined; CXX=clang++'

-include $(shell find build -name '*.d' 2> /dev/null)
