# facegen: make            builds everything that the tools found here allow, and says what it found
#          make help       lists the targets and the switches

PREFIX ?= /usr/local
CUDA ?= 1
MPI ?= 1
OPENMP ?= 1
DEBUG ?= 0
SANITIZE ?=
CUARCH ?=

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

comma := ,
empty :=
space := $(empty) $(empty)

# ---- What is here -----------------------------------------------------------------------------------------------------

NVCC ?= nvcc
MPICXX ?= mpicxx
probe = printf '%s\nint main() {}\n' '$(1)' | $(CXX) -x c++ $(2) - -o /dev/null 2> /dev/null && echo yes

HAVE_CUDA := $(if $(filter 1,$(CUDA)),$(shell command -v $(NVCC) 2> /dev/null))
HAVE_MPI := $(if $(filter 1,$(MPI)),$(shell command -v $(MPICXX) > /dev/null 2>&1 && $(MPICXX) --showme:version 2> /dev/null))
HAVE_OPENMP := $(if $(filter 1,$(OPENMP)),$(shell $(call probe,#include <omp.h>,-fopenmp)))
HAVE_PNG := $(shell $(call probe,#include <png.h>,-lpng))
AMX_FLAGS := -DFACEGEN_AMX -mamx-tile -mamx-bf16
HAVE_AMX := $(shell $(call probe,void f() { __asm__("tdpbf16ps %tmm2$(comma) %tmm1$(comma) %tmm0"); },$(AMX_FLAGS)))

# GPU architectures: CUARCH, else the GPUs of this machine, else one program for all that matter.
ALL_ARCHS := 80 86 89 90a 100 120
ifneq ($(HAVE_CUDA),)
  LOCAL_ARCHS := $(sort $(subst .,,$(shell nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2> /dev/null | grep -E '^[0-9.]+$$')))
  KNOWN_ARCHS := $(patsubst sm_%,%,$(shell $(NVCC) --list-gpu-code 2> /dev/null))
  DEFAULT_ARCHS := $(or $(patsubst 90,90a,$(LOCAL_ARCHS)),$(foreach a,$(ALL_ARCHS),$(if $(filter $(a:a=),$(KNOWN_ARCHS)),$(a))))
  ARCHS := $(or $(subst $(comma), ,$(CUARCH)),$(DEFAULT_ARCHS))
  NEWEST_PLAIN := $(lastword $(filter-out %a,$(ARCHS)))
  GENCODE := $(foreach a,$(ARCHS),-gencode arch=compute_$(a)$(comma)code=sm_$(a)) \
             $(if $(NEWEST_PLAIN),-gencode arch=compute_$(NEWEST_PLAIN)$(comma)code=compute_$(NEWEST_PLAIN))
endif

# ---- Flags ------------------------------------------------------------------------------------------------------------

OPTIMISE := $(if $(filter 1,$(DEBUG)),-O1 -g,-O3)
SANITIZER := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -g)
CXXFLAGS_ALL = -std=c++17 $(OPTIMISE) -Wall -Wextra -Werror -pthread -I. -MMD -MP $(SANITIZER) $(CXXFLAGS)
LDFLAGS_ALL = -pthread $(SANITIZER) $(LDFLAGS)
LDLIBS_IO := $(if $(HAVE_PNG),-lpng)

# -ffp-contract=off: the reference rounds after every operation, on every compiler.
SEQ_FLAGS := -ffp-contract=off
IO_FLAGS := $(if $(HAVE_PNG),-DFACEGEN_PNG)
OPENMP_FLAGS := $(if $(HAVE_OPENMP),-fopenmp)

ifneq ($(HAVE_MPI),)
  MPI_FLAGS := -DOMPI_SKIP_MPICXX $(patsubst -I%,-isystem %,$(filter -I%,$(shell $(MPICXX) --showme:compile)))
  MPI_LIBS := $(shell $(MPICXX) --showme:link)
endif
ifneq ($(HAVE_CUDA),)
  CUDA_HOME := $(patsubst %/bin/nvcc,%,$(realpath $(HAVE_CUDA)))
  NVCCFLAGS_ALL = -std=c++17 $(if $(filter 1,$(DEBUG)),-O1 -g -lineinfo,-O3) $(GENCODE) -Werror all-warnings \
                  -Xcompiler -Wall,-Wextra,-Werror,-Wno-unused-parameter,-pthread -I. -MMD -MP $(NVCCFLAGS)
  CUDA_LIBS := $(addprefix -L,$(wildcard $(CUDA_HOME)/lib64)) -lcudart_static -ldl -lrt
endif

LDLIBS_PARALLEL = $(OPENMP_FLAGS) $(MPI_LIBS) $(CUDA_LIBS)

# ---- Objects ------------------------------------------------------------------------------------------------------------
# One folder for each set of switches, so that changing a switch never mixes objects.

CONFIG := $(CXX)$(if $(HAVE_CUDA),-cuda$(subst $(space),-,$(ARCHS)))$(if $(HAVE_MPI),-mpi)$(if $(HAVE_OPENMP),-openmp)$(if \
          $(HAVE_PNG),-png)$(if $(filter 1,$(DEBUG)),-debug)$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))
BUILD := build/$(subst /,_,$(CONFIG))

objects = $(patsubst %.cpp,$(BUILD)/%.o,$(wildcard $(1)/*.cpp))
IO_OBJECTS := $(call objects,io)
COMMON_OBJECTS := $(call objects,common)
DRIVER_OBJECTS := $(BUILD)/main.o $(call objects,driver) $(IO_OBJECTS) $(COMMON_OBJECTS)
CPU_OBJECTS := $(call objects,cpu)
GPU_OBJECTS := $(if $(HAVE_CUDA),$(patsubst %.cu,$(BUILD)/%.o,$(wildcard kernels/*.cu kernels/*/*.cu)),$(BUILD)/kernels/no_gpu.o)
# The ranks of a job, with MPI and without.
SINGLE_RANK := $(addprefix $(BUILD)/run/,ranks.o launch.o ranks_single.o)
RANKS := $(if $(HAVE_MPI),$(addprefix $(BUILD)/run/,ranks.o launch.o ranks_mpi.o),$(SINGLE_RANK))
RUN_OBJECTS := $(filter-out $(BUILD)/run/ranks% $(BUILD)/run/launch.o,$(call objects,run))
PARALLEL_OBJECTS := $(CPU_OBJECTS) $(GPU_OBJECTS) $(RUN_OBJECTS) $(BUILD)/facegen_parallel.o

.PRECIOUS: $(BUILD)/%.o
$(BUILD)/%.o: %.cpp
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS_ALL) $(EXTRA_FLAGS) -c $< -o $@

$(BUILD)/%.o: %.cu
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
$(filter %/kernels_plain.o %/kernels_avx2.o %/kernels_avx512.o %/kernels_amx.o,$(CPU_OBJECTS)): EXTRA_FLAGS += -ffp-contract=fast
ifneq ($(filter x86_64%,$(shell $(CXX) -dumpmachine)),)
  $(BUILD)/cpu/kernels_avx2.o: EXTRA_FLAGS += -mavx2 -mfma
  $(BUILD)/cpu/kernels_avx512.o: EXTRA_FLAGS += -mavx512f -mfma
  $(BUILD)/cpu/kernels_amx.o: EXTRA_FLAGS += $(if $(HAVE_AMX),-mavx512f -mfma $(AMX_FLAGS))
endif

$(BUILD)/run/ranks_mpi.o: EXTRA_FLAGS = $(MPI_FLAGS)

# ---- Programs -----------------------------------------------------------------------------------------------------------

.PHONY: all seq parallel custom run answers test test-gpu bench bench-gpu bench-gpus report submission install uninstall deb clean \
        help found format

all: found seq parallel compare_result

found:
	@echo "CUDA    $(if $(HAVE_CUDA),$(HAVE_CUDA)$(comma) for $(ARCHS),not found: facegen_parallel computes on the CPU)"
	@echo "MPI     $(or $(HAVE_MPI),not found: facegen_parallel is one process)"
	@echo "OpenMP  $(if $(HAVE_OPENMP),found,not found: one thread a process)"
	@echo "AMX     $(if $(HAVE_AMX),known to $(CXX),not known to $(CXX): vectors only)"
	@echo "libpng  $(if $(HAVE_PNG),found,not found: pictures as .bmp only)"

seq: facegen_seq
parallel: facegen_parallel

# Programs lie at the top; a build with other switches replaces them.
facegen_seq facegen_parallel compare_result: %: $(BUILD)/bin/% FORCE
	@cmp -s $< $@ || cp -f $< $@
FORCE:

$(BUILD)/bin/facegen_seq: $(BUILD)/facegen_seq.o $(DRIVER_OBJECTS) $(SINGLE_RANK)
	@mkdir -p $(@D)
	$(CXX) $(LDFLAGS_ALL) $^ $(LDLIBS_IO) -o $@

$(BUILD)/bin/facegen_parallel: $(PARALLEL_OBJECTS) $(DRIVER_OBJECTS) $(RANKS)
	@mkdir -p $(@D)
	$(CXX) $(LDFLAGS_ALL) $^ $(LDLIBS_IO) $(LDLIBS_PARALLEL) -o $@

$(BUILD)/bin/compare_result: $(BUILD)/compare_result.o
	@mkdir -p $(@D)
	$(CXX) $(LDFLAGS_ALL) $^ -o $@

# The driver with somebody's own facegen_init, facegen and facegen_fin. Their file, their warnings.
UNIT := $(BUILD)/custom/$(notdir $(basename $(SRC))).o
custom: $(DRIVER_OBJECTS) $(RANKS)
	$(if $(wildcard $(SRC)),,$(error SRC='$(SRC)' is no file: make custom SRC=path/to/facegen.c, .cpp or .cu))
	@mkdir -p $(dir $(UNIT))
	$(COMPILE_UNIT$(suffix $(SRC))) -I. -I$(dir $(SRC)) -c $(SRC) -o $(UNIT)
	$(CXX) $(LDFLAGS_ALL) $(UNIT) $^ $(LDLIBS_IO) $(LDLIBS_PARALLEL) -lm -o facegen_custom
COMPILE_UNIT.c = $(CC) -O3 $(OPENMP_FLAGS) $(MPI_FLAGS)
COMPILE_UNIT.cpp = $(CXX) -std=c++17 -O3 $(OPENMP_FLAGS) $(MPI_FLAGS)
COMPILE_UNIT.cu = $(or $(HAVE_CUDA),$(error $(SRC) needs nvcc, which was not found)) -std=c++17 -O3 $(GENCODE) \
                  $(MPI_FLAGS) $(addprefix -Xcompiler ,$(OPENMP_FLAGS))

# ---- Running --------------------------------------------------------------------------------------------------------------

run:
	./scripts/run.sh

# What facegen_seq gives for the shipped inputs; answer3 (92 MB, some minutes) is not committed.
answers: facegen_seq
	for i in 1 2 3; do ./facegen_seq network.bin inputs/input$$i.txt answers/answer$$i.txt answers/answer$$i.bmp || exit; done

# ---- Tests ----------------------------------------------------------------------------------------------------------------

PYTHON ?= $(or $(shell for p in python3 /usr/bin/python3; do $$p -c 'import numpy, pytest' 2> /dev/null && echo $$p && break; done),python3)
TEST_PROGRAMS := $(patsubst tests/%.cpp,$(BUILD)/tests/%,$(wildcard tests/test_*.cpp))
$(BUILD)/tests/test_io_writers.o: EXTRA_FLAGS = $(IO_FLAGS)
TEST_OBJECTS := $(IO_OBJECTS) $(COMMON_OBJECTS) $(CPU_OBJECTS) $(RUN_OBJECTS) $(GPU_OBJECTS) $(RANKS) $(BUILD)/driver/options.o

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(TEST_OBJECTS)
	@mkdir -p $(@D)
	$(CXX) $(LDFLAGS_ALL) $^ -lgtest_main -lgtest $(LDLIBS_IO) $(LDLIBS_PARALLEL) -o $@

# The kernels for AMX on emulated tiles.
$(BUILD)/tests/test_cpu: $(BUILD)/tests/emulated_amx.o

MPI_TRANSFERS := $(if $(HAVE_MPI),$(BUILD)/tests/mpi_transfers)
$(BUILD)/tests/mpi_transfers: $(BUILD)/tests/mpi_transfers.o $(RANKS)
	$(CXX) $(LDFLAGS_ALL) $^ $(LDLIBS_PARALLEL) -o $@

# facegen_parallel with simulated GPUs in place of kernels/.
SIMULATED := $(BUILD)/tests/simulated_gpus
$(SIMULATED): $(BUILD)/tests/simulated_gpus.o $(filter-out $(GPU_OBJECTS),$(PARALLEL_OBJECTS)) $(DRIVER_OBJECTS) $(RANKS)
	$(CXX) $(LDFLAGS_ALL) $^ $(LDLIBS_IO) $(OPENMP_FLAGS) $(MPI_LIBS) -o $@

test: all $(TEST_PROGRAMS) $(MPI_TRANSFERS) $(SIMULATED)
	FACEGEN_TEST_PROGRAMS="$(TEST_PROGRAMS)" FACEGEN_MPI_TRANSFERS="$(MPI_TRANSFERS)" FACEGEN_SIMULATED="$(SIMULATED)" \
	  $(PYTHON) -m pytest -q tests

# On a machine with a GPU: the kernels layer by layer, the programs, and everything small under compute-sanitizer.
GPU_PROGRAMS := $(addprefix $(BUILD)/gpu/,test_gpu test_tensor_cores bench_gpu accuracy_gpu)
$(BUILD)/gpu/test_gpu: tests/test_gpu.cu
$(BUILD)/gpu/test_tensor_cores: tests/test_tensor_cores.cu
$(BUILD)/gpu/bench_gpu: bench/bench_gpu.cu $(BUILD)/run/chunks.o
$(BUILD)/gpu/accuracy_gpu: bench/accuracy_gpu.cu
$(BUILD)/gpu/copy_rates: bench/copy_rates.cu $(addprefix $(BUILD)/run/,host_memory.o numa.o)
$(GPU_PROGRAMS): $(GPU_OBJECTS) $(BUILD)/run/numa.o
$(GPU_PROGRAMS) $(BUILD)/gpu/copy_rates:
	@mkdir -p $(@D)
	$(NVCC) $(NVCCFLAGS_ALL) $< $(filter %.o,$^) -Xcompiler -pthread -o $@

test-gpu: all $(GPU_PROGRAMS)
	PYTHON=$(PYTHON) scripts/test_gpu.sh $(BUILD)/gpu

# ---- Measuring ------------------------------------------------------------------------------------------------------------

BENCHES := $(patsubst bench/%.cpp,$(BUILD)/bench/%,$(wildcard bench/*.cpp))
$(BUILD)/bench/bench_cpu.o: EXTRA_FLAGS = $(if $(HAVE_AMX),$(AMX_FLAGS))
BENCH_OBJECTS := $(PARALLEL_OBJECTS) $(IO_OBJECTS) $(COMMON_OBJECTS) $(addprefix $(BUILD)/driver/,batches.o hooks.o) $(RANKS)

$(BUILD)/bench/%: $(BUILD)/bench/%.o $(BENCH_OBJECTS)
	@mkdir -p $(@D)
	$(CXX) $(LDFLAGS_ALL) $^ $(LDLIBS_IO) $(LDLIBS_PARALLEL) -o $@

# Text, CPU and whole runs on this machine; raw figures under build/measurements, for report/measurements to keep.
bench: all $(BENCHES)
	@mkdir -p build/measurements
	$(BUILD)/bench/bench_io --json build/measurements/cpu-text.json
	$(BUILD)/bench/bench_cpu --json build/measurements/cpu-layers.json
	$(PYTHON) bench/whole_run.py $(BUILD)/bench/course_like_driver --json build/measurements/cpu-whole-run.json \
	  --plot build/measurements/cpu-whole-run.png

# The same on a GPU, layer by layer and beside PyTorch.
bench-gpu: all $(BUILD)/gpu/bench_gpu $(BUILD)/gpu/accuracy_gpu
	@mkdir -p build/measurements
	$(BUILD)/gpu/bench_gpu --json build/measurements/gpu-layers.json
	$(BUILD)/gpu/accuracy_gpu --json build/measurements/gpu-accuracy.json
	$(PYTHON) bench/gpu_peers.py --json build/measurements/gpu-peers.json

# Everything that several GPUs show, on a machine that has them: bench/several_gpus.py builds what it needs.
bench-gpus:
	@mkdir -p build/measurements
	$(PYTHON) bench/several_gpus.py --json build/measurements/several-gpus.json

build/copy_rates: $(BUILD)/gpu/copy_rates FORCE
	@cmp -s $< $@ || cp -f $< $@

# ---- Report and hand-in ---------------------------------------------------------------------------------------------------

# The numbers of report/measurements -> report/report.pdf and README's "How fast".
report:
	scripts/install_deps.sh report
	@for p in python3 /usr/bin/python3; do \
	  if $$p -c 'import matplotlib, weasyprint' 2> /dev/null; then set -x; exec $$p report/build.py; fi; \
	done; echo "make report: no Python here has matplotlib and weasyprint: scripts/install_deps.sh report" >&2; exit 1

# ID=shpc123 -> shpc123_project.zip
submission:
	scripts/submission.sh $(ID)

# ---- Installing -----------------------------------------------------------------------------------------------------------

PROGRAMS := facegen_seq facegen_parallel compare_result
VERSION := $(shell sed -n 's/.*kVersion = "\(.*\)";/\1/p' driver/options.h)
BIN = $(DESTDIR)$(PREFIX)/bin
MAN = $(DESTDIR)$(PREFIX)/share/man/man1
COMPLETIONS = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
SHARE = $(DESTDIR)$(PREFIX)/share/facegen
DOC = $(DESTDIR)$(PREFIX)/share/doc/facegen

# Manual pages from what --help prints.
MAN_PAGES := $(PROGRAMS:%=$(BUILD)/man/%.1)
$(BUILD)/man/%.1: $(BUILD)/bin/% scripts/man_page.sh
	@mkdir -p $(@D)
	scripts/man_page.sh $< $(VERSION) > $@

install: all $(MAN_PAGES)
	install -d $(BIN) $(MAN) $(COMPLETIONS) $(SHARE) $(DOC)
	install -m 755 $(PROGRAMS) $(BIN)
	install -m 644 $(MAN_PAGES) $(MAN)
	for p in $(PROGRAMS); do install -m 644 scripts/completion.bash $(COMPLETIONS)/$$p; done
	install -m 644 network.bin inputs/input1.txt inputs/input2.txt $(SHARE)
	install -m 644 README.md LICENSE $(DOC)

uninstall:
	rm -f $(PROGRAMS:%=$(BIN)/%) $(PROGRAMS:%=$(MAN)/%.1) $(PROGRAMS:%=$(COMPLETIONS)/%)
	rm -rf $(SHARE) $(DOC)

deb: all
	scripts/make_deb.sh $(VERSION)

clean:
	rm -rf build $(PROGRAMS) facegen_custom

format:
	clang-format -i $(shell git ls-files '*.h' '*.cpp' '*.cu' '*.cuh')

help:
	@echo 'make [all]          what the tools found here allow: facegen_seq, facegen_parallel, compare_result'
	@echo 'make seq | parallel | compare_result | clean'
	@echo 'make custom SRC=F   facegen_custom: the driver with the facegen_init, facegen, facegen_fin of F (.c, .cpp, .cu)'
	@echo 'make run            the main job, checked against its answer'
	@echo 'make answers        answers/ for all shipped inputs, by facegen_seq'
	@echo 'make test           every test that needs no GPU'
	@echo 'make test-gpu       what only a GPU can show: kernels, programs, compute-sanitizer'
	@echo 'make bench          how fast, here: text, layers, whole runs beside a driver like the course'"'"'s'
	@echo 'make bench-gpu      how fast on a GPU, layer by layer and beside PyTorch'
	@echo 'make bench-gpus     how much faster on several GPUs of one machine: scaling, copies, equal bytes, a lost GPU'
	@echo 'make report         report/report.pdf and how-fast figures of README.md, from report/measurements'
	@echo 'make submission ID=shpc123   shpc123_project.zip: report.pdf and the source directory'
	@echo 'make install | uninstall   PREFIX=/usr/local DESTDIR='
	@echo 'make deb            a Debian package of what install installs'
	@echo 'Switches: CUDA=0 MPI=0 OPENMP=0 leave a part out; CUARCH=90a (or 80,90a) GPU architectures;'
	@echo '          DEBUG=1; SANITIZE=address,undefined; CXX=clang++'

-include $(shell find build -name '*.d' 2> /dev/null)
