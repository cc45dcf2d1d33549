// Whether the ranks of a call are still running, where FACEGEN_PATIENCE says for how many seconds that may be in doubt:
// rank 0 asks the others, and each answers. A rank that was stopped, or swaps without end, does neither; then the job
// ends with a sentence that names it. Without FACEGEN_PATIENCE a stopped rank is waited for.
#ifndef FACEGEN_RUN_BEATS_H_
#define FACEGEN_RUN_BEATS_H_

#include <string>
#include <vector>

#include "common/profile.h"  // defines: ProfileTimer
#include "run/ranks.h"       // defines: Transfers

class Beats {
 public:
  static double patience();  // s; what FACEGEN_PATIENCE says here, 0: nothing

  // Collective, at the begin of a call. patience: rank 0's.
  explicit Beats(double patience);

  bool wanted() const { return !peers_.empty(); }

  // Asks and answers. To be called often by the thread that speaks MPI; throws Failure where a rank says nothing.
  void look();

  // Collective, at the end of a call: rank 0 tells the others that it is over, who wait for that.
  void end();

 private:
  struct Peer {
    int rank;
    std::string place;
    ProfileTimer since;    // the last that was heard of it
    bool awaited = false;  // it has to say something
    float asked, answer;
  };
  void ask(Peer& peer, bool over);
  void listen(Peer& peer);

  const double patience_;
  ProfileTimer looked_;
  std::vector<Peer> peers_;  // rank 0: all others; others: rank 0; none where nobody wants to know
  bool over_ = false;
  Transfers transfers_;
};

#endif  // FACEGEN_RUN_BEATS_H_
