// One GPU as a Device: its memory, its streams, and the pipeline of chunks through them. It knows nothing of layers (a
// Generator launches those) nor of ranks.
//
//   upload_   network, layer by layer ............. pack_ follows, layer by layer
//   in_       noise 0   noise 1   noise 2
//   lanes_              chunk 0   chunk 1   chunk 2
//   out_                          faces 0   faces 1   faces 2
//
// Events carry the order from stream to stream; the host waits in finish() alone. Chunks take turns in two lanes, each
// with a stream and a workspace: while the last tiles of a layer run out, the other lane's chunk fills the GPU.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>
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
};

// The first that this GPU can run, and on which it pays, is taken.
constexpr Kind kKinds[] = {{"hopper", make_hopper_generator},
                           {"hopper8", make_hopper8_generator},
                           {"mma", make_mma_generator},
                           {"simt", make_simt_generator}};

// The kernels that FACEGEN_KERNELS names (for tests and measurements), else the best for this GPU.
std::unique_ptr<Generator> make_generator(const cudaDeviceProp& device) {
  const char* variable = std::getenv("FACEGEN_KERNELS");
  const std::string forced = variable ? variable : "";
  std::string known;
  for (const Kind& kind : kKinds) {
    known += std::string(known.empty() ? "" : ", ") + kind.name;
    if (!forced.empty() && forced != kind.name) continue;
    std::unique_ptr<Generator> generator = kind.make(device);
    if (generator && (!forced.empty() || generator->pays())) return generator;
    if (!forced.empty()) {
      throw Failure(kMachine, current_gpu() + " cannot run the kernels that FACEGEN_KERNELS asks for: '" + forced +
                                  "'; unset it to let the GPU choose");
    }
  }
  throw Failure(kUsage, "FACEGEN_KERNELS='" + forced + "' names no kernels; there are: " + known);
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
constexpr std::size_t kAlign = 1024;  // of every array in device memory, bytes
constexpr int kWarmUpFaces = 256;
constexpr int kSmallestChunk = 32;                     // faces; a GPU without the memory even for this is refused
constexpr std::size_t kPiece = std::size_t(1) << 19;   // floats of a pageable network copied at a time: 2 MiB
constexpr std::size_t kSpare = std::size_t(64) << 20;  // device memory left to CUDA itself, bytes

constexpr std::size_t aligned(std::size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

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

// Where everything lies in one block of device memory, for chunks of up to n faces.
struct Plan {
  Plan(const Generator& generator, int n)
      : noise_bytes(aligned(std::size_t(n) * net::kNoise * sizeof(float))),
        faces_bytes(aligned(std::size_t(n) * net::kFaceFloats * sizeof(float))),
        workspace(aligned(net::kNetworkBytes)),
        workspace_bytes(aligned(generator.workspace_bytes(n))),
        slots(workspace + kLanes * workspace_bytes),
        bytes(slots + kSlots * (noise_bytes + faces_bytes)) {}

  std::size_t noise_bytes, faces_bytes;           // of one slot
  std::size_t workspace, workspace_bytes, slots;  // offset and size of a lane's; offset. The network lies at 0
  std::size_t bytes;                              // in all
};

class Gpu : public Device {
 public:
  Gpu(int ordinal, const cudaDeviceProp& properties, const NumaPlace& place)
      : ordinal_(ordinal),
        place_(place),
        failing_chunk_(chunk_that_fails(ordinal)),
        name_("GPU " + std::to_string(ordinal) + " (" + properties.name + ")"),
        generator_(make_generator(properties)),
        chunk_faces_(affordable_chunk(*generator_)),
        plan_(*generator_, chunk_faces_),
        memory_(plan_.bytes),
        staged_network_(net::kNetworkBytes),
        staged_noise_(kSlots * plan_.noise_bytes) {
    for (int i = 0; i < kSlots; ++i) {
      slots_[i].noise = reinterpret_cast<float*>(memory_.bytes() + plan_.slots + i * plan_.noise_bytes);
      slots_[i].faces =
          reinterpret_cast<float*>(memory_.bytes() + plan_.slots + kSlots * plan_.noise_bytes + i * plan_.faces_bytes);
      slots_[i].staged_noise = staged_noise_.floats() + i * plan_.noise_bytes / sizeof(float);
    }
    warm_up();
  }

  ~Gpu() override {
    cudaSetDevice(ordinal_);
    cudaDeviceSynchronize();  // a chunk under way still uses what goes now
  }

  std::string name() const override { return name_; }
  int speed() const override { return std::max(1, int(generator_->faces_per_s())); }
  int chunk_faces() const override { return chunk_faces_; }
  int slots() const override { return kSlots; }
  double peak_flops() override { return generator_->peak_flops(); }
  NumaNodes nodes() const override { return nodes_of(place_); }
  void attach() override {
    run_at(place_);
    CUDA_CHECK(cudaSetDevice(ordinal_));
  }

  void load_network(const float* network) override {
    network_ = network;
    network_pinned_ = is_pinned(network);
    if (!network_pinned_) upload_.synchronize();  // the copy before may still read the staged network
    upload_.wait(loaded_[layers_sent_ - 1]);      // and packing before the network on the GPU
    upload_layer(0);
    loading_ = true;
    layers_sent_ = 1;
  }

  void start(int slot_index, int n, const float* noise, float* faces) override {
    Slot& slot = slots_[slot_index];
    slot.n = n;
    slot.host_faces = faces;
    slot.copy_under_way = is_pinned(faces);
    if (n == 0) return upload_rest();

    const std::size_t noise_bytes = std::size_t(n) * net::kNoise * sizeof(float);
    if (!is_pinned(noise)) noise = static_cast<const float*>(std::memcpy(slot.staged_noise, noise, noise_bytes));
    CUDA_CHECK(cudaMemcpyAsync(slot.noise, noise, noise_bytes, cudaMemcpyHostToDevice, in_));
    slot.noise_arrived.record(in_);
    upload_rest();  // only now, so that the first noise need not wait behind it

    lane_ = (lane_ + 1) % kLanes;
    lanes_[lane_].wait(slot.noise_arrived);
    launch(n, slot.noise, slot.faces);
    if (failing_chunk_ > 0 && ++chunks_ == failing_chunk_) failing_kernel<<<1, 1, 0, lanes_[lane_]>>>();
    slot.computed.record(lanes_[lane_]);

    out_.wait(slot.computed);
    if (slot.copy_under_way) copy_out(slot);
  }

  void finish(int slot_index) override {
    Slot& slot = slots_[slot_index];
    if (slot.n == 0) return upload_.synchronize();
    // Why only now: a copy to pageable memory holds the host until it is done, and the next chunk's launch with it.
    if (!slot.copy_under_way) copy_out(slot);
    slot.copied.synchronize();
    loading_ = false;
  }

 private:
  struct Slot {
    float* noise;         // (chunk_faces, 100), on the GPU
    float* faces;         // (chunk_faces, 64, 64, 3), on the GPU
    float* staged_noise;  // (chunk_faces, 100), pinned
    int n = 0;
    float* host_faces = nullptr;  // (n, 64, 64, 3), the caller's
    bool copy_under_way = false;  // host_faces is pinned: its copy was enqueued by start()
    Event noise_arrived, computed, copied;
  };

  // The chunk that the generator likes best, or the largest for which the free memory suffices.
  static int affordable_chunk(const Generator& generator) {
    std::size_t free = 0, total = 0;
    CUDA_CHECK(cudaMemGetInfo(&free, &total));
    int n = generator.chunk_faces();
    while (n > kSmallestChunk && Plan(generator, n).bytes + kSpare > free) n = std::max(n / 2, kSmallestChunk);
    return n;
  }

  float* network_on_gpu() const { return memory_.floats(); }

  void upload_rest() {
    while (layers_sent_ < net::kLayers) upload_layer(layers_sent_++);
  }

  // Sends one layer's parameters on their way, and has them packed when they arrive.
  void upload_layer(int layer) {
    const std::size_t first = net::kTable.layer[layer].weight;
    const std::size_t end = layer + 1 == net::kLayers ? net::kNetworkFloats : net::kTable.layer[layer + 1].weight;
    const std::size_t piece = network_pinned_ ? end - first : kPiece;
    for (std::size_t i = first; i < end; i += piece) {
      const std::size_t bytes = std::min(piece, end - i) * sizeof(float);
      // Why staged: a copy from pageable memory holds the host until it is done. Here piece i is on its way to the GPU
      // while piece i + 1 is copied to pinned memory.
      if (!network_pinned_) std::memcpy(staged_network_.floats() + i, network_ + i, bytes);
      const float* source = (network_pinned_ ? network_ : staged_network_.floats()) + i;
      CUDA_CHECK(cudaMemcpyAsync(network_on_gpu() + i, source, bytes, cudaMemcpyHostToDevice, upload_));
    }
    arrived_[layer].record(upload_);
    pack_.wait(arrived_[layer]);
    generator_->load_layer(layer, network_on_gpu(), pack_);
    loaded_[layer].record(pack_);
  }

  void launch(int n, const float* noise, float* faces) {
    cudaEvent_t loaded[net::kLayers];
    std::copy(loaded_, loaded_ + net::kLayers, loaded);
    generator_->generate(n, noise, faces, memory_.bytes() + plan_.workspace + lane_ * plan_.workspace_bytes,
                         loading_ ? loaded : nullptr, lanes_[lane_]);
  }

  void copy_out(Slot& slot) {
    CUDA_CHECK(cudaMemcpyAsync(slot.host_faces, slot.faces, std::size_t(slot.n) * net::kFaceFloats * sizeof(float),
                               cudaMemcpyDeviceToHost, out_));
    slot.copied.record(out_);
  }

  // A small run with a network of zeros, through every stream, lane and slot: CUDA loads kernels and readies streams
  // and copy engines when they are first used, and that belongs to the set-up.
  void warm_up() {
    const int most = std::min(chunk_faces_, kWarmUpFaces);
    const PinnedMemory faces(std::size_t(most) * net::kFaceFloats * sizeof(float));
    std::memset(staged_network_.floats(), 0, net::kNetworkBytes);
    std::memset(staged_noise_.floats(), 0, kSlots * plan_.noise_bytes);
    load_network(staged_network_.floats());
    chunks_ = -kSlots;  // these do not count
    for (int i = 0; i < kSlots; ++i) {
      start(i, i == 0 ? 1 : most, slots_[i].staged_noise, faces.floats());
      finish(i);
    }
  }

  const int ordinal_;
  const NumaPlace place_;
  const int failing_chunk_;  // 0: none
  int chunks_ = 0;           // started
  const std::string name_;
  const std::unique_ptr<Generator> generator_;
  const int chunk_faces_;
  const Plan plan_;
  const DeviceMemory memory_;
  const PinnedMemory staged_network_, staged_noise_;
  Stream upload_, pack_, in_, lanes_[kLanes], out_;
  int lane_ = 0;  // whose turn it was last
  Event arrived_[net::kLayers], loaded_[net::kLayers];
  const float* network_ = nullptr;  // the caller's
  bool network_pinned_ = false;
  int layers_sent_ = net::kLayers;  // of it
  bool loading_ = false;            // the network may still be on its way: no chunk has finished since load_network
  Slot slots_[kSlots];
};

// ---- Pinned memory

std::mutex pinned_mutex;  // guards both
std::set<void*> pinned;   // what alloc_pinned gave out
int pinning_gpu = -1;     // whose context it belongs to: any GPU that was opened

}  // namespace

void await_layer(int layer, const cudaEvent_t* loaded, cudaStream_t stream) {
  if (loaded) CUDA_CHECK(cudaStreamWaitEvent(stream, loaded[layer], 0));
}

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
  const std::lock_guard<std::mutex> lock(pinned_mutex);
  pinning_gpu = ordinal;
  return gpu;
}

void* alloc_pinned(std::size_t bytes) {
  const std::lock_guard<std::mutex> lock(pinned_mutex);
  // Why: without an open GPU this would make a context on GPU 0, which may be another rank's.
  if (pinning_gpu < 0) return nullptr;
  void* memory = nullptr;
  if (cudaSetDevice(pinning_gpu) != cudaSuccess ||
      cudaHostAlloc(&memory, bytes, cudaHostAllocPortable) != cudaSuccess) {
    cudaGetLastError();
    return nullptr;
  }
  pinned.insert(memory);
  return memory;
}

bool free_pinned(void* memory) {
  const std::lock_guard<std::mutex> lock(pinned_mutex);
  if (pinned.erase(memory) == 0) return false;
  cudaFreeHost(memory);
  return true;
}

bool pin(void* memory, std::size_t bytes) {
  const std::lock_guard<std::mutex> lock(pinned_mutex);
  if (pinning_gpu < 0) return true;
  if (cudaSetDevice(pinning_gpu) == cudaSuccess &&
      cudaHostRegister(memory, bytes, cudaHostRegisterPortable) == cudaSuccess) {
    return true;
  }
  cudaGetLastError();
  return false;
}

void unpin(void* memory) {
  const std::lock_guard<std::mutex> lock(pinned_mutex);
  if (pinning_gpu >= 0) cudaHostUnregister(memory);
}

const char* gpu_about() {
  static const std::string about = "CUDA " + version_text(CUDART_VERSION) + " (" + built_archs() + ")";
  return about.c_str();
}
