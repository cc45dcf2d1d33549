// network.bin -> the parameters.
#include <charconv>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "common/wording.h"
#include "io/input_file.h"
#include "io/readers.h"
#include "network.h"

namespace {

struct Parameter {
  const char* name;
  std::size_t offset;  // of its first float in the file
};

// "tconv2 mean, channel 17 (float 4,927,633 of the file, byte 19,710,532, counted from 0)" for a place in the file.
std::string place_name(std::size_t place) {
  const net::Layer* layer = &net::kTable.layer[0];
  for (const net::Layer& l : net::kTable.layer) {
    if (l.weight <= place) layer = &l;
  }
  const Parameter parameters[] = {{"weight", layer->weight}, {"bias", layer->bias}, {"beta", layer->beta},
                                  {"gamma", layer->gamma},   {"mean", layer->mean}, {"var", layer->var}};
  const Parameter* found = &parameters[0];
  for (const Parameter& p : parameters) {
    const bool exists = p.offset >= layer->weight;  // the last layer has no batch normalisation: its offsets are 0
    if (exists && p.offset <= place) found = &p;
  }
  const bool per_channel =
      found->offset > layer->bias || (found->offset == layer->bias && layer != &net::kTable.layer[0]);
  return std::string(layer->name) + " " + found->name + (per_channel ? ", channel " : ", index ") +
         grouped(static_cast<std::int64_t>(place - found->offset)) + " (float " +
         grouped(static_cast<std::int64_t>(place)) + " of the file, byte " +
         grouped(static_cast<std::int64_t>(place * sizeof(float))) + ", counted from 0)";
}

}  // namespace

std::vector<float> read_network(const std::string& path) {
  InputFile file(path);
  const std::string expected =
      "a network has exactly " + grouped(net::kNetworkBytes) + " bytes (" + grouped(net::kNetworkFloats) + " floats)";
  const auto wrong_size = [&](const std::string& found) {
    return Failure(kBadInput, file.name() + " " + found + "; " + expected + ".");
  };
  if (file.regular() && file.bytes_left() == 0) throw wrong_size("is empty");
  if (file.regular() && file.bytes_left() != static_cast<std::int64_t>(net::kNetworkBytes)) {
    throw wrong_size("has " + grouped(file.bytes_left()) + " bytes");
  }

  std::vector<float> network(net::kNetworkFloats);
  const std::size_t got = file.read(network.data(), net::kNetworkBytes);
  if (got < net::kNetworkBytes) throw wrong_size("has " + grouped(static_cast<std::int64_t>(got)) + " bytes");
  char more;
  if (file.read(&more, 1) != 0) throw wrong_size("has more bytes");

  for (std::size_t i = 0; i < network.size(); ++i) {
    if (std::isfinite(network[i])) continue;
    throw Failure(kBadInput, file.name() + ": " + place_name(i) + " is " +
                                 (std::isnan(network[i]) ? "NaN" : "infinite") +
                                 "; every parameter must be a finite number.");
  }
  for (const net::Layer& layer : net::kTable.layer) {
    for (std::size_t i = layer.var; layer.batch_norm && i < layer.var + layer.K; ++i) {
      if (network[i] >= 0) continue;
      char value[32] = {};
      std::to_chars(value, value + sizeof value - 1, network[i]);
      throw Failure(kBadInput, file.name() + ": " + place_name(i) + " is " + value +
                                   "; no variance is below 0. Were mean and var written in the wrong order?");
    }
  }
  return network;
}
