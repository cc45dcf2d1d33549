// One GPU as a Device: its memory, its streams, the pipeline of chunks through them, and which kernels compute a face. It
// knows nothing of layers (a Generator launches those) nor of ranks.
//
//   upload_   network, layer by layer ............. pack_ follows, layer by layer
//   in_       noise 0   noise 1   noise 2
//   lanes_              chunk 0   chunk 1   chunk 2
//   out_                          faces 0   faces 1   faces 2
//
// Events carry the order from stream to stream; the host waits in finish() alone. Chunks take turns in two lanes, each
// with a stream and a workspace: while the last tiles of a layer run out, the other lane's chunk fills the GPU.
//
// Which kernels compute a face follows from its own noise and the network alone, so its bytes depend on no chunk, batch
// or rank. start() sorts a chunk's faces by the size of their noise, and each kind computes its own in turn: by an index,
// where a chunk has faces of more than one. A network that a kind is not fit for is known when it is packed, a face when
// it is computed; as neither is worth waiting for, finish() finds it and has such faces computed again.
#include <cuda_runtime.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/cuda_check.h"
#include "kernels/cuda_memory.h"
#include "kernels/generator.h"
#include "network.h"
#include "run/device.h"
#include "run/fault.h"
#include "run/numa.h"

namespace {

// ---- Which kernels

struct Kind {
  const char* name;
  std::unique_ptr<Generator> (*make)(const cudaDeviceProp& device);
  float most_rms;                              // of a face's noise
  bool (*pays)(const cudaDeviceProp& device);  // faster here than all that follow
};

bool always(const cudaDeviceProp&) { return true; }

// Tensor cores pay where they do more than three times the multiply-adds of the CUDA cores: on GPUs for data centres,
// A100, H100, B200 (8.0, 9.0, 10.0 and 10.3), not on a GeForce of the same years. Measured on an H100; untested on others.
bool strong_tensor_cores(const cudaDeviceProp& device) {
  const int capability = 10 * device.major + device.minor;
  return capability == 80 || capability == 90 || capability == 100 || capability == 103;
}

// From the fastest to the most exact: a face is computed by the first kind that is fit for it. The limits of noise are
// those of the worst differences from fp32 over a million faces and networks of many kinds, at most 2e-4: see
// bench/accuracy_gpu.cu. uniform(-1, 1) has an rms of 0.58, normal(0, 1) of 1.
constexpr Kind kKinds[] = {
    {"fast", make_fast_generator, 0.72f, always},
    {"accurate", make_accurate_generator, 1.5f, always},
    {"precise", make_precise_generator, 64, strong_tensor_cores},  // no more than fp32 sums in another order differ by
    {"exact", make_exact_generator, INFINITY, always},
};

// The kind that FACEGEN_KERNELS asks for, for tests and measurements: all faces are computed by it, fit or not. nullptr
// where it asks for none.
const Kind* forced_kind() {
  const char* variable = std::getenv("FACEGEN_KERNELS");
  if (!variable || !*variable) return nullptr;
  std::string known;
  for (const Kind& kind : kKinds) {
    if (!std::strcmp(variable, kind.name)) return &kind;
    known += std::string(known.empty() ? "" : ", ") + kind.name;
  }
  throw Failure(kUsage, "FACEGEN_KERNELS='" + std::string(variable) + "' names no kernels; there are: " + known);
}

// One kind of kernels on this GPU.
struct Kernels {
  const Kind& kind;
  std::unique_ptr<Generator> generator;
  volatile int* unfit_network = nullptr;  // page-locked; set while packing
  bool packed = false;                    // packing is on its way
  bool loaded = false;                    // and has ended
  bool unfit = false;                     // for this network, as far as is known
  std::int64_t faces = 0;                 // computed so far
  Event layer_loaded[net::kLayers];

  Kernels(const Kind& kind, std::unique_ptr<Generator> generator) : kind(kind), generator(std::move(generator)) {}
};
using AllKernels = std::vector<std::unique_ptr<Kernels>>;

AllKernels make_kernels(const cudaDeviceProp& device) {
  const Kind* forced = forced_kind();
  AllKernels all;
  for (const Kind& kind : kKinds) {
    if (forced ? &kind != forced : !kind.pays(device)) continue;
    if (auto generator = kind.make(device)) all.push_back(std::make_unique<Kernels>(kind, std::move(generator)));
  }
  if (all.empty()) {
    throw Failure(kMachine, current_gpu() + " cannot run the kernels that FACEGEN_KERNELS asks for: '" +
                                std::string(forced->name) + "'; unset it to let the GPU choose");
  }
  return all;
}

// Of a face's noise (100). In parts, so that a compiler may keep them in vector registers.
float rms_of(const float* noise) {
  constexpr int kParts = 20;
  static_assert(net::kNoise % kParts == 0, "the parts must fill a face's noise");
  float part[kParts] = {};
  for (int c = 0; c < net::kNoise; c += kParts) {
    for (int i = 0; i < kParts; ++i) part[i] += noise[c + i] * noise[c + i];
  }
  for (int i = 4; i < kParts; ++i) part[i % 4] += part[i];
  return std::sqrt((part[0] + part[1] + part[2] + part[3]) / net::kNoise);
}

// ---- Which GPUs

// "sm_80, sm_90": the architectures that this build has code for.
std::string built_archs() {
  std::string archs;
  for (const int arch : {__CUDA_ARCH_LIST__}) {
    archs += (archs.empty() ? "sm_" : ", sm_") + std::to_string(arch / 10);
  }
  return archs;
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

__global__ void probe_kernel() {}
__global__ void failing_kernel() { __trap(); }  // takes the whole GPU away from this process

// Throws where the current GPU cannot run this build's kernels.
void require_code(const cudaDeviceProp& device) {
  cudaFuncAttributes attributes;
  const cudaError_t error = cudaFuncGetAttributes(&attributes, probe_kernel);
  if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction ||
      error == cudaErrorUnsupportedPtxVersion) {
    cudaGetLastError();
    const std::string arch = std::to_string(device.major) + std::to_string(device.minor);
    throw Failure(kMachine, current_gpu() + " is of architecture sm_" + arch + ", and this build has code for " +
                                built_archs() + " alone (" + cudaGetErrorName(error) +
                                "); build with 'make CUARCH=" + arch + "', or use the CPU");
  }
  CUDA_CHECK(error);
}

// ---- One GPU

constexpr int kSlots = 4;  // chunks: one copied out, one that waits for that, two computed
constexpr int kLanes = 2;
constexpr int kWarmUpFaces = 256;
constexpr int kSmallestChunk = 32;                           // faces; a GPU without the memory even for this is refused
constexpr std::size_t kUploadFloats = std::size_t(1) << 19;  // of a pageable network, copied at a time: 2 MiB
constexpr std::size_t kSpare = std::size_t(64) << 20;        // device memory left to CUDA itself, bytes

// Page-locked memory can be copied to while the host goes on; other memory cannot.
bool is_pinned(const void* memory) {
  cudaPointerAttributes attributes;
  if (cudaPointerGetAttributes(&attributes, memory) != cudaSuccess) {
    cudaGetLastError();
    return false;
  }
  return attributes.type != cudaMemoryTypeUnregistered;
}

// The NUMA node that the GPU hangs on.
NumaPlace place_of_gpu(int ordinal) {
  char bus_id[32];
  CUDA_CHECK(cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, ordinal));
  return numa_place(bus_id);
}

// Where everything lies, for chunks of up to n faces: offsets in bytes, in device memory, and in page-locked memory.
struct Plan {
  std::size_t network, workspace[kLanes], noise[kSlots], index[kSlots], faces[kSlots], bytes;
  std::size_t staged_network, staged_noise[kSlots], staged_index[kSlots], unfit[kSlots], unfit_networks, staged_bytes;

  Plan(const AllKernels& kernels, int n) {
    const std::size_t noise_bytes = std::size_t(n) * net::kNoise * sizeof(float), ints = n * sizeof(int);
    std::size_t most = 0;  // the kinds of a chunk follow one another
    for (const auto& k : kernels) most = std::max(most, k->generator->workspace_bytes(n));
    Arena device, host;
    network = device.take(net::kNetworkBytes);
    for (std::size_t& at : workspace) at = device.take(most);
    staged_network = host.take(net::kNetworkBytes);
    for (int i = 0; i < kSlots; ++i) {
      noise[i] = device.take(noise_bytes);
      index[i] = device.take(ints);
      faces[i] = device.take(std::size_t(n) * net::kFaceFloats * sizeof(float));
      staged_noise[i] = host.take(noise_bytes);
      staged_index[i] = host.take(ints);
      unfit[i] = host.take(ints);
    }
    unfit_networks = host.take(kernels.size() * sizeof(int));
    bytes = device.end;
    staged_bytes = host.end;
  }
};

class Gpu : public Device {
 public:
  Gpu(int ordinal, const cudaDeviceProp& properties, const NumaPlace& place)
      : ordinal_(ordinal),
        place_(place),
        failing_chunk_(chunk_that_fails(ordinal)),
        name_("GPU " + std::to_string(ordinal) + " (" + properties.name + ")"),
        kernels_(make_kernels(properties)),
        chunk_faces_(affordable_chunk(kernels_)),
        plan_(kernels_, chunk_faces_),
        memory_(plan_.bytes),
        staged_(plan_.staged_bytes) {
    for (int i = 0; i < kSlots; ++i) {
      slots_[i].noise = reinterpret_cast<float*>(memory_.bytes() + plan_.noise[i]);
      slots_[i].index = reinterpret_cast<int*>(memory_.bytes() + plan_.index[i]);
      slots_[i].faces = reinterpret_cast<float*>(memory_.bytes() + plan_.faces[i]);
      slots_[i].staged_noise = reinterpret_cast<float*>(staged_.bytes() + plan_.staged_noise[i]);
      slots_[i].staged_index = reinterpret_cast<int*>(staged_.bytes() + plan_.staged_index[i]);
      slots_[i].unfit = reinterpret_cast<int*>(staged_.bytes() + plan_.unfit[i]);
      slots_[i].count.resize(kernels_.size());
    }
    for (std::size_t k = 0; k < kernels_.size(); ++k)
      kernels_[k]->unfit_network = reinterpret_cast<int*>(staged_.bytes() + plan_.unfit_networks) + k;
    warm_up();
    forced_ = forced_kind() ? 0 : -1;
  }

  ~Gpu() override {
    cudaSetDevice(ordinal_);
    cudaDeviceSynchronize();  // a chunk under way still uses what goes now
  }

  std::string name() const override { return name_; }
  int speed() const override { return std::max(1, int(kernels_[0]->generator->faces_per_s())); }
  int chunk_faces() const override { return chunk_faces_; }
  int slots() const override { return kSlots; }
  double peak_flops() override { return kernels_[0]->generator->peak_flops(); }
  std::vector<KernelFaces> faces_by_kernel() const override {
    std::vector<KernelFaces> faces;
    for (const auto& k : kernels_) faces.push_back({k->kind.name, k->faces});
    return faces;
  }
  NumaNodes nodes() const override { return nodes_of(place_); }
  void attach() override {
    run_at(place_);
    CUDA_CHECK(cudaSetDevice(ordinal_));
  }

  void load_network(const float* network) override {
    network_ = network;
    network_pinned_ = is_pinned(network);
    layers_sent_ = 0;  // by the next start(): the first noise goes before all layers but one
    for (const auto& k : kernels_) {
      k->packed = k->loaded = k->unfit = false;
      *k->unfit_network = 0;
    }
  }

  void start(int slot_index, int n, const float* noise, float* faces) override {
    Slot& slot = slots_[slot_index];
    slot.n = n;
    slot.host_noise = noise;
    slot.host_faces = faces;
    slot.faces_pinned = is_pinned(faces);
    upload_layers(1);
    if (n > 0) {
      const std::size_t noise_bytes = std::size_t(n) * net::kNoise * sizeof(float);
      if (!is_pinned(noise)) noise = static_cast<const float*>(std::memcpy(slot.staged_noise, noise, noise_bytes));
      CUDA_CHECK(cudaMemcpyAsync(slot.noise, noise, noise_bytes, cudaMemcpyHostToDevice, in_));
    }
    upload_layers(net::kLayers);
    if (n == 0) return;

    sort_by_kind(slot);
    compute(slot);
    // Why only there: a copy to pageable memory holds the host until it is done, and the next chunk's launch with it.
    if (slot.faces_pinned) copy_out(slot);
  }

  void finish(int slot_index) override {
    Slot& slot = slots_[slot_index];
    if (slot.n == 0) return upload_.synchronize();
    if (!slot.faces_pinned) copy_out(slot);
    slot.copied.synchronize();
    while (computed_by_unfit(slot)) {
      sort_by_kind(slot);
      compute(slot);
      copy_out(slot);
      slot.copied.synchronize();
    }
    for (std::size_t k = 0; k < kernels_.size(); ++k) kernels_[k]->faces += slot.count[k];
    if (forced_ < 0) compute_unfit_faces(slot);
  }

 private:
  struct Slot {
    float* noise;         // (chunk_faces, 100), on the GPU
    int* index;           // (chunk_faces) where its faces lie, those of one kind after those of another; on the GPU
    float* faces;         // (chunk_faces, 64, 64, 3), on the GPU
    float* staged_noise;  // (chunk_faces, 100), page-locked
    int* staged_index;    // (chunk_faces), page-locked
    int* unfit;           // (chunk_faces), in the order of the index, page-locked; set while computing
    int n = 0;
    std::vector<int> count;             // of faces of each kind
    bool mixed = false;                 // the index is used: not all faces are of one kind
    const float* host_noise = nullptr;  // (n, 100), the caller's
    float* host_faces = nullptr;        // (n, 64, 64, 3), the caller's
    bool faces_pinned = false;
    Event noise_arrived, computed, copied;
  };

  // The chunk that the fastest kernels like best, or the largest for which the free memory suffices.
  static int affordable_chunk(const AllKernels& kernels) {
    std::size_t free = 0, total = 0;
    CUDA_CHECK(cudaMemGetInfo(&free, &total));
    int n = kernels[0]->generator->chunk_faces();
    while (n > kSmallestChunk && Plan(kernels, n).bytes + kSpare > free) n = std::max(n / 2, kSmallestChunk);
    return n;
  }

  float* network_on_gpu() const { return reinterpret_cast<float*>(memory_.bytes() + plan_.network); }

  // Sends the network's first layers on their way, those that have not been sent.
  void upload_layers(int layers) {
    float* staged = reinterpret_cast<float*>(staged_.bytes() + plan_.staged_network);
    for (; layers_sent_ < layers; ++layers_sent_) {
      const int next = layers_sent_ + 1;
      const std::size_t end = next == net::kLayers ? net::kNetworkFloats : net::kTable.layer[next].weight;
      for (std::size_t i = net::kTable.layer[layers_sent_].weight, floats; i < end; i += floats) {
        floats = network_pinned_ ? end - i : std::min(kUploadFloats, end - i);
        const float* source = network_ + i;
        // Why staged: a copy from pageable memory holds the host until it is done. Here one piece is on its way to the
        // GPU while the next one is copied to page-locked memory.
        if (!network_pinned_)
          source = static_cast<const float*>(std::memcpy(staged + i, source, floats * sizeof(float)));
        CUDA_CHECK(
            cudaMemcpyAsync(network_on_gpu() + i, source, floats * sizeof(float), cudaMemcpyHostToDevice, upload_));
      }
      arrived_[layers_sent_].record(upload_);
    }
  }

  // Has the kernels' weights packed as the layers arrive.
  void pack(Kernels& k) {
    if (k.packed) return;
    for (int layer = 0; layer < net::kLayers; ++layer) {
      pack_.wait(arrived_[layer]);
      k.generator->load_layer(layer, network_on_gpu(), k.unfit_network, pack_);
      k.layer_loaded[layer].record(pack_);
    }
    k.packed = true;
  }

  // The first kind that is fit for noise of that rms and, as far as is known, for the network.
  int kind_for(float rms) const {
    if (forced_ >= 0) return forced_;
    int k = 0;
    while (k + 1 < int(kernels_.size()) && (kernels_[k]->unfit || !(rms <= kernels_[k]->kind.most_rms))) ++k;
    return k;
  }

  // Counts the slot's faces of each kind, and sends the index where there is more than one.
  void sort_by_kind(Slot& slot) {
    std::fill(slot.count.begin(), slot.count.end(), 0);
    kind_of_.resize(slot.n);
    for (int face = 0; face < slot.n; ++face)
      ++slot.count[kind_of_[face] = kind_for(rms_of(slot.host_noise + std::size_t(face) * net::kNoise))];
    slot.mixed = *std::max_element(slot.count.begin(), slot.count.end()) < slot.n;
    if (slot.mixed) {
      std::vector<int> next(kernels_.size());  // place of each kind's next face
      for (std::size_t k = 1; k < next.size(); ++k) next[k] = next[k - 1] + slot.count[k - 1];
      for (int face = 0; face < slot.n; ++face) slot.staged_index[next[kind_of_[face]]++] = face;
      send_index(slot, slot.n);
    }
    slot.noise_arrived.record(in_);
  }

  void send_index(Slot& slot, int faces) {
    CUDA_CHECK(cudaMemcpyAsync(slot.index, slot.staged_index, faces * sizeof(int), cudaMemcpyHostToDevice, in_));
  }

  // Launches what computes the slot's faces, kind after kind.
  void compute(Slot& slot) {
    lane_ = (lane_ + 1) % kLanes;
    lanes_[lane_].wait(slot.noise_arrived);
    std::fill(slot.unfit, slot.unfit + slot.n, 0);
    for (int k = 0, first = 0; k < int(kernels_.size()); first += slot.count[k++]) {
      if (slot.count[k] == 0) continue;
      Kernels& kernels = *kernels_[k];
      pack(kernels);
      const Chunk chunk = {slot.count[k],
                           slot.noise,
                           slot.mixed ? slot.index + first : nullptr,
                           slot.faces,
                           memory_.bytes() + plan_.workspace[lane_],
                           slot.unfit + first};
      cudaEvent_t loaded[net::kLayers];
      std::copy(kernels.layer_loaded, kernels.layer_loaded + net::kLayers, loaded);
      kernels.generator->generate(chunk, kernels.loaded ? nullptr : loaded, lanes_[lane_]);
    }
    if (failing_chunk_ > 0 && ++chunks_ == failing_chunk_) failing_kernel<<<1, 1, 0, lanes_[lane_]>>>();
    slot.computed.record(lanes_[lane_]);
  }

  void copy_out(Slot& slot) {
    out_.wait(slot.computed);
    CUDA_CHECK(cudaMemcpyAsync(slot.host_faces, slot.faces, std::size_t(slot.n) * net::kFaceFloats * sizeof(float),
                               cudaMemcpyDeviceToHost, out_));
    slot.copied.record(out_);
  }

  // Whether the slot, whose faces have been computed, has some of a kind that has turned out unfit for the network.
  bool computed_by_unfit(const Slot& slot) {
    bool found = false;
    for (std::size_t k = 0; k < kernels_.size(); ++k) {
      if (slot.count[k] == 0) continue;
      kernels_[k]->loaded = true;
      kernels_[k]->unfit = *kernels_[k]->unfit_network != 0;
      found = found || (forced_ < 0 && kernels_[k]->unfit && k + 1 < kernels_.size());
    }
    return found;
  }

  // The slot's faces that their kernels could not answer for, by the most exact ones.
  void compute_unfit_faces(Slot& slot) {
    int found = 0, row = 0;
    for (std::size_t k = 0; k + 1 < kernels_.size(); ++k) {
      for (const int end = row + slot.count[k]; row < end; ++row) {
        if (!slot.unfit[row]) continue;
        slot.staged_index[found++] = slot.mixed ? slot.staged_index[row] : row;
        --kernels_[k]->faces;
      }
    }
    if (found == 0) return;
    std::fill(slot.count.begin(), slot.count.end(), 0);
    slot.count.back() = found;
    kernels_.back()->faces += found;
    slot.mixed = true;
    send_index(slot, found);
    slot.noise_arrived.record(in_);
    compute(slot);
    out_.wait(slot.computed);
    for (int i = 0; i < found; ++i) {
      const std::size_t first = std::size_t(slot.staged_index[i]) * net::kFaceFloats;
      CUDA_CHECK(cudaMemcpyAsync(slot.host_faces + first, slot.faces + first, net::kFaceFloats * sizeof(float),
                                 cudaMemcpyDeviceToHost, out_));
    }
    out_.synchronize();
    kernels_.back()->loaded = true;
  }

  // A small run of every kind with a network of zeros, through every stream, lane and slot, the fastest kind last: CUDA
  // loads kernels and readies streams and copy engines when they are first used, and that belongs to the set-up.
  void warm_up() {
    const int runs = kSlots * int(kernels_.size());
    const int most = std::min(chunk_faces_, kWarmUpFaces);
    const PinnedMemory faces(std::size_t(most) * net::kFaceFloats * sizeof(float));
    std::memset(staged_.bytes(), 0, plan_.staged_bytes);
    load_network(reinterpret_cast<float*>(staged_.bytes() + plan_.staged_network));
    chunks_ = -runs;  // these do not count
    for (int i = 0; i < runs; ++i) {
      forced_ = int(kernels_.size()) - 1 - i / kSlots;
      start(i % kSlots, most, slots_[i % kSlots].staged_noise, faces.floats());
      finish(i % kSlots);
    }
    for (const auto& k : kernels_) k->faces = 0;
  }

  const int ordinal_;
  const NumaPlace place_;
  const int failing_chunk_;  // 0: none
  int chunks_ = 0;           // started
  const std::string name_;
  const AllKernels kernels_;  // from the fastest to the most exact
  int forced_ = -1;           // the kind that computes all faces; -1: each face's own
  const int chunk_faces_;
  const Plan plan_;
  const DeviceMemory memory_;
  const PinnedMemory staged_;
  Stream upload_, pack_, in_, lanes_[kLanes], out_;
  int lane_ = 0;  // whose turn it was last
  Event arrived_[net::kLayers];
  const float* network_ = nullptr;  // the caller's
  bool network_pinned_ = false;
  int layers_sent_ = net::kLayers;  // of it
  Slot slots_[kSlots];
  std::vector<int> kind_of_;  // of the faces of the chunk that is sorted
};

std::atomic<int> pinning_gpu{-1};  // whose context page-locked memory belongs to: any GPU that was opened

}  // namespace

int count_gpus(std::string* why_not) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return count;
  cudaGetLastError();
  if (!why_not) return 0;

  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess) cudaGetLastError();
  if (driver == 0) {
    *why_not = "no NVIDIA driver was found";
  } else if (error == cudaErrorInsufficientDriver) {
    *why_not = "the NVIDIA driver supports CUDA " + version_text(driver) + ", and this build needs CUDA " +
               version_text(CUDART_VERSION) + " or later: update the driver, or build with an older CUDA";
  } else if (error == cudaSuccess || error == cudaErrorNoDevice) {
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    *why_not = "no GPU is visible" + (visible ? " (CUDA_VISIBLE_DEVICES='" + std::string(visible) + "')" : "");
  } else {
    *why_not = "CUDA reports " + std::string(cudaGetErrorName(error)) + ": " + cudaGetErrorString(error);
  }
  return 0;
}

std::int64_t gpu_id(int ordinal) {
  cudaDeviceProp properties;
  CUDA_CHECK(cudaGetDeviceProperties(&properties, ordinal));
  std::int64_t half[2];  // a UUID has 16 bytes, random but for a few
  static_assert(sizeof(half) == sizeof(properties.uuid), "a UUID has 16 bytes");
  std::memcpy(half, &properties.uuid, sizeof(half));
  return half[0] ^ half[1];
}

std::unique_ptr<Device> open_gpu(int ordinal) {
  std::string why_not;
  const int count = count_gpus(&why_not);
  if (ordinal < 0 || ordinal >= count) {
    throw Failure(kMachine, "GPU " + std::to_string(ordinal) + " does not exist: this process sees " +
                                (count == 0 ? "none, as " + why_not : std::to_string(count) + ", from 0"));
  }
  CUDA_CHECK(cudaSetDevice(ordinal));
  cudaDeviceProp properties;
  CUDA_CHECK(cudaGetDeviceProperties(&properties, ordinal));
  require_code(properties);
  const NumaPlace place = place_of_gpu(ordinal);
  const StayAt near_gpu(place);  // its staging buffers lie there too
  std::unique_ptr<Device> gpu(new Gpu(ordinal, properties, place));
  pinning_gpu = ordinal;
  return gpu;
}

bool pin(void* memory, std::size_t bytes) {
  // Why: without an open GPU this would make a context on GPU 0, which may be another rank's.
  if (pinning_gpu < 0) return true;
  if (cudaSetDevice(pinning_gpu) == cudaSuccess &&
      cudaHostRegister(memory, bytes, cudaHostRegisterPortable) == cudaSuccess) {
    return true;
  }
  cudaGetLastError();
  return false;
}

void unpin(void* memory) {
  if (pinning_gpu >= 0) cudaHostUnregister(memory);
}

const char* gpu_about() {
  static const std::string about = "CUDA " + version_text(CUDART_VERSION) + " (" + built_archs() + ")";
  return about.c_str();
}
