// One run of the parallel program on this rank: everything that lasts from facegen_init to facegen_fin.
#ifndef FACEGEN_RUN_RUN_H_
#define FACEGEN_RUN_RUN_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/profile.h"      // defines: Profile
#include "facegen_hooks.h"       // defines: facegen_options
#include "run/chunks.h"          // defines: Share
#include "run/device_threads.h"  // defines: DeviceThreads
#include "run/host_arrays.h"     // defines: HostArrays
#include "run/team.h"            // defines: Team

class Run {
 public:
  // options: of a driver that knows facegen_hooks.h, or nullptr for any other.
  explicit Run(const facegen_options* options);
  ~Run();
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  bool driver_has_hooks() const { return driver_has_hooks_; }
  const std::string& note() const { return note_; }  // on the choice of devices; "": none
  int batch_faces() const;                           // the most that it would like in one call

  // All that follows is collective but for alloc and free. A second start() changes nothing.
  void start();  // takes part in the job, opens devices, measures links
  float* alloc(std::size_t floats);
  void free(float* array);
  void share();  // tells the ranks that can map rank 0's arrays of them

  // Arrays as in facegen.h; only rank 0's arguments count. network: nullptr for the one of the call before.
  void compute(int num_to_gen, const float* network, const float* inputs, float* outputs);

 private:
  struct Call;
  void compute_on_root(const Call& call, const float* network, const float* inputs, float* outputs);
  void compute_elsewhere(const Call& call);
  std::vector<Share> chunks_of(int r, Share share) const;
  void need_send_buffers();

  const facegen_options options_;
  const bool driver_has_hooks_;
  Profile unread_profile_;  // for a driver that asks for none
  Profile& profile_;
  bool joined_job_ = false;
  std::string note_;
  Team team_;
  std::unique_ptr<DeviceThreads> devices_;  // this rank's
  HostArrays arrays_;                       // all that follows in memory that devices copy to fastest
  std::vector<float*> send_buffers_;        // of ranks that send: each holds one chunk's faces
  std::vector<float> network_;              // of ranks that received it
  bool has_network_ = false;                // rank 0: there was a call
};

#endif  // FACEGEN_RUN_RUN_H_
