#include "run/beats.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "common/failure.h"  // defines: Failure

namespace {

constexpr int kQuestion = 1, kAnswer = 0;  // ids of messages from rank 0, and to it
constexpr float kOver = 0, kGoOn = 1;      // what rank 0 says

// A rank's name, as bytes.
struct Place {
  char text[128];
};

}  // namespace

double Beats::patience() {
  const char* text = std::getenv("FACEGEN_PATIENCE");
  if (!text || !*text) return 0;
  double seconds = 0;
  const char* const end = text + std::strlen(text);
  if (std::from_chars(text, end, seconds).ptr != end || !(seconds >= 1 && seconds < 1e9)) {
    throw Failure(kUsage, "FACEGEN_PATIENCE='" + std::string(text) +
                              "' is no number of seconds, 1 or more, for which a rank may say nothing, such as 60");
  }
  return seconds;
}

Beats::Beats(double patience) : patience_(patience) {
  if (patience_ == 0 || rank_count() == 1) return;
  Place mine = {};
  std::strncpy(mine.text, rank_place().c_str(), sizeof mine.text - 1);
  const std::vector<Place> places = all_gather(mine);
  for (int r = 0; r < rank_count(); ++r) {
    if (is_root() != (r == 0)) peers_.push_back({r, places[r].text, {}, !is_root(), 0, 0});
  }
  if (!is_root()) listen(peers_[0]);
}

void Beats::look() {
  const bool was_stopped = looked_.seconds() > patience_ / 2;  // this rank: then the others are not to blame
  looked_ = ProfileTimer();
  // Where rank 0 says nothing, the first of the others ends the job before the next would.
  const double limit = patience_ + std::max(0, rank() - 1);
  for (Peer& peer : peers_) {
    if (was_stopped) peer.since = looked_;
    if (is_root() && !peer.awaited && peer.since.seconds() > patience_ / 4) ask(peer, false);
    if (peer.awaited && peer.since.seconds() > limit) {
      throw Failure(kMachine, peer.place + " has said nothing for " + std::to_string(int(peer.since.seconds())) +
                                  " s, which is more than FACEGEN_PATIENCE: it was stopped, or its host hangs");
    }
  }
  transfers_.poll();
}

void Beats::end() {
  if (!wanted()) return;
  const auto wait = [this](auto done) {
    while (!done()) {
      look();
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  };
  if (is_root()) {
    over_ = true;  // no further question
    for (Peer& peer : peers_) {
      wait([&] { return !peer.awaited; });
      ask(peer, true);
    }
  }
  wait([this] { return over_ && transfers_.empty(); });
}

// Rank 0.
void Beats::ask(Peer& peer, bool over) {
  if (over_ && !over) return;
  peer.asked = over ? kOver : kGoOn;
  peer.awaited = true;
  peer.since = ProfileTimer();
  transfers_.send(peer.rank, kQuestion, &peer.asked, 1);
  transfers_.receive(peer.rank, kAnswer, &peer.answer, 1, [&peer] { peer.awaited = false; });
}

// Other ranks.
void Beats::listen(Peer& peer) {
  transfers_.receive(peer.rank, kQuestion, &peer.asked, 1, [this, &peer] {
    peer.since = ProfileTimer();
    peer.answer = kGoOn;
    transfers_.send(peer.rank, kAnswer, &peer.answer, 1);
    if (peer.asked == kOver) {
      over_ = true;
    } else {
      listen(peer);
    }
  });
}
