// network.bin -> the parameters (SPEC 1).
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

// "tconv2 weight, index 17 (float 3,279,890 of the file)" for a place in the file.
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
  return std::string(layer->name) + " " + found->name + ", index " +
         grouped(static_cast<std::int64_t>(place - found->offset)) + " (float " +
         grouped(static_cast<std::int64_t>(place)) + " of the file, counted from 0)";
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
  return network;
}
