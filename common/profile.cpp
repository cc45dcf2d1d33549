#include "common/profile.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "common/decimal.h"
#include "network.h"

namespace {

// What can be said of a row beyond its raw figures; 0 where nothing can.
double faces_per_s(const ProfileRow& row) { return row.seconds > 0 ? double(row.faces) / row.seconds : 0; }
double bytes_per_s(const ProfileRow& row) { return row.seconds > 0 ? double(row.bytes) / row.seconds : 0; }
double share_of_peak(const ProfileRow& row) {
  return row.peak_flops > 0 ? faces_per_s(row) * 2 * net::multiply_adds() / row.peak_flops : 0;
}

// With one row more: what no step of the run accounts for.
std::vector<ProfileRow> with_other(const ProfileSummary& summary, std::vector<ProfileRow> rows) {
  double other = summary.whole_run_s;
  std::size_t steps = 0;
  for (const ProfileRow& row : rows) {
    if (!row.of_run) continue;
    other -= row.seconds;
    ++steps;
  }
  if (steps > 0) rows.insert(rows.begin() + std::ptrdiff_t(steps), {"other", 0, "", other, 0, 0, 0, true});
  return rows;
}

std::string json_string(const std::string& text) {
  const char digits[] = "0123456789abcdef";
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      quoted += std::string("\\u00") + digits[c >> 4] + digits[c & 15];
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

}  // namespace

void Profile::add(const ProfileRow& added) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (ProfileRow& row : rows_) {
    if (row.stage != added.stage || row.device != added.device || row.of_run != added.of_run) continue;
    row.seconds += added.seconds;
    row.bytes += added.bytes;
    row.faces += added.faces;
    return;
  }
  rows_.push_back(added);
}

void Profile::step(const std::string& name, std::int64_t faces, std::int64_t bytes) {
  const double now = run_.seconds();
  add({name, 0, "", now - before_, bytes, faces, 0, true});
  before_ = now;
}

std::string Profile::as_text() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::string text;
  for (const bool of_run : {true, false}) {
    for (const ProfileRow& row : rows_) {
      if (row.of_run != of_run) continue;
      text += row.stage + '\t' + row.device + '\t' + significant(row.seconds, 9) + '\t' + std::to_string(row.bytes) +
              '\t' + std::to_string(row.faces) + '\t' + significant(row.peak_flops, 9) + '\t' +
              std::to_string(row.of_run) + '\n';
    }
  }
  return text;
}

std::vector<ProfileRow> profile_rows(const std::vector<std::string>& texts) {
  std::vector<ProfileRow> rows;
  for (std::size_t rank = 0; rank < texts.size(); ++rank) {
    const std::string& text = texts[rank];
    std::size_t at = 0;
    const auto field = [&] {
      const std::size_t start = at, end = text.find_first_of("\t\n", start);
      at = end + 1;
      return text.substr(start, end - start);
    };
    const auto number = [&](auto* value) {
      const std::string word = field();
      std::from_chars(word.data(), word.data() + word.size(), *value);
    };
    while (at < text.size()) {
      ProfileRow row;
      row.rank = int(rank);
      row.stage = field();
      row.device = field();
      number(&row.seconds);
      number(&row.bytes);
      number(&row.faces);
      number(&row.peak_flops);
      row.of_run = field() == "1";
      rows.push_back(row);
    }
  }
  return rows;
}

std::string profile_table(const ProfileSummary& summary, const std::vector<ProfileRow>& rows) {
  std::string table = summary.program + " " + summary.version + ": " + std::to_string(summary.faces) + " faces on " +
                      std::to_string(summary.ranks) + (summary.ranks == 1 ? " rank" : " ranks") + ", elapsed " +
                      decimal(summary.elapsed_s, 6) + " s, whole run " + decimal(summary.whole_run_s, 3) + " s\n";
  const auto line = [&table](const std::vector<std::string>& cells) {
    constexpr int kWidths[] = {4, -20, -33, 11, 8, 11, 10, 12, 12, 8};  // below 0: words, which begin on the left
    std::string text;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const std::size_t width = std::size_t(std::abs(kWidths[i]));
      const std::string space(width - std::min(width, cells[i].size()), ' ');
      text += kWidths[i] < 0 ? "  " + cells[i] + space : space + cells[i];
    }
    table += text.substr(0, text.find_last_not_of(' ') + 1) + "\n";
  };
  line({"rank", "stage", "device", "seconds", "of run", "MB", "GB/s", "faces", "faces/s", "of peak"});
  const auto cell = [](double value, int decimals, const char* unit = "") {
    return value > 0 ? decimal(value, decimals) + unit : "";
  };
  for (const ProfileRow& row : with_other(summary, rows)) {
    line({std::to_string(row.rank), row.stage, row.device, cell(row.seconds, 4),
          row.of_run ? decimal(100 * row.seconds / summary.whole_run_s, 1) + "%" : "", cell(double(row.bytes) / 1e6, 1),
          row.bytes > 0 ? decimal(bytes_per_s(row) / 1e9, 3) : "", cell(double(row.faces), 0),
          cell(faces_per_s(row), 0), cell(100 * share_of_peak(row), 1, "%")});
  }
  return table;
}

std::string profile_json(const ProfileSummary& summary, const std::vector<ProfileRow>& rows) {
  std::string json =
      "{\"program\": " + json_string(summary.program) + ", \"version\": " + json_string(summary.version) +
      ", \"built_with\": " + json_string(summary.built_with) + ", \"ranks\": " + std::to_string(summary.ranks) +
      ", \"faces\": " + std::to_string(summary.faces) + ", \"seconds\": " + decimal(summary.elapsed_s, 6) +
      ", \"faces_per_s\": " + significant(summary.elapsed_s > 0 ? double(summary.faces) / summary.elapsed_s : 0.0, 6) +
      ", \"whole_run_s\": " + decimal(summary.whole_run_s, 6) + ",\n \"stages\": [";
  const char* before = "\n  ";
  for (const ProfileRow& row : with_other(summary, rows)) {
    json += before + std::string("{\"rank\": ") + std::to_string(row.rank) + ", \"stage\": " + json_string(row.stage) +
            ", \"device\": " + json_string(row.device) + ", \"seconds\": " + decimal(row.seconds, 6) +
            ", \"of_run\": " + (row.of_run ? "true" : "false") + ", \"bytes\": " + std::to_string(row.bytes) +
            ", \"faces\": " + std::to_string(row.faces) + ", \"faces_per_s\": " + significant(faces_per_s(row), 6);
    if (share_of_peak(row) > 0) json += ", \"share_of_peak\": " + decimal(share_of_peak(row), 4);
    json += "}";
    before = ",\n  ";
  }
  return json + "\n ]}\n";
}
