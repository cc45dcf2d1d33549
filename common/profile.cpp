#include "common/profile.h"

#include <cstdio>
#include <mutex>
#include <sstream>

#include "network.h"

namespace {

std::mutex g_mutex;
std::vector<ProfileRow> g_rows;  // of this rank

// printf into a string.
template <typename... Values>
std::string format(const char* pattern, Values... values) {
  char text[512];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

// What can be said of a row beyond its raw figures; 0 where nothing can.
double faces_per_s(const ProfileRow& row) { return row.seconds > 0 ? double(row.faces) / row.seconds : 0; }
double bytes_per_s(const ProfileRow& row) { return row.seconds > 0 ? double(row.bytes) / row.seconds : 0; }
double share_of_peak(const ProfileRow& row) {
  return row.peak_flops > 0 ? faces_per_s(row) * 2 * net::multiply_adds() / row.peak_flops : 0;
}

std::string json_string(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      quoted += format("\\u%04x", unsigned(c));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

}  // namespace

void profile_add(const std::string& stage, const std::string& device, double seconds, std::int64_t bytes,
                 std::int64_t faces, double peak_flops) {
  const std::lock_guard<std::mutex> lock(g_mutex);
  for (ProfileRow& row : g_rows) {
    if (row.stage != stage || row.device != device) continue;
    row.seconds += seconds;
    row.bytes += bytes;
    row.faces += faces;
    return;
  }
  g_rows.push_back({stage, 0, device, seconds, bytes, faces, peak_flops});
}

std::string profile_rows_as_text() {
  const std::lock_guard<std::mutex> lock(g_mutex);
  std::string text;
  for (const ProfileRow& row : g_rows) {
    text += row.stage + '\t' + row.device + '\t' +
            format("%.9g\t%lld\t%lld\t%.9g\n", row.seconds, static_cast<long long>(row.bytes),
                   static_cast<long long>(row.faces), row.peak_flops);
  }
  return text;
}

std::vector<ProfileRow> profile_rows_from_text(const std::string& text) {
  std::vector<ProfileRow> rows;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    ProfileRow row;
    std::getline(fields, row.stage, '\t');
    std::getline(fields, row.device, '\t');
    fields >> row.seconds >> row.bytes >> row.faces >> row.peak_flops;
    rows.push_back(row);
  }
  return rows;
}

std::string profile_table(const ProfileSummary& summary, const std::vector<ProfileRow>& rows) {
  std::string table = format("%s %s: %lld faces on %d rank%s, elapsed %.6f s, whole run %.3f s\n",
                             summary.program.c_str(), summary.version.c_str(), static_cast<long long>(summary.faces),
                             summary.ranks, summary.ranks == 1 ? "" : "s", summary.elapsed_s, summary.whole_run_s);
  table += format("%4s  %-18s %-34s %10s %10s %9s %11s %7s\n", "rank", "stage", "device", "seconds", "MB", "GB/s",
                  "faces/s", "of peak");
  for (const ProfileRow& row : rows) {
    table += format("%4d  %-18s %-34s %10.4f", row.rank, row.stage.c_str(), row.device.c_str(), row.seconds);
    table += row.bytes > 0 ? format(" %10.1f %9.3f", double(row.bytes) / 1e6, bytes_per_s(row) / 1e9)
                           : format(" %10s %9s", "", "");
    table += row.faces > 0 ? format(" %11.0f", faces_per_s(row)) : format(" %11s", "");
    table += share_of_peak(row) > 0 ? format(" %6.1f%%\n", 100 * share_of_peak(row)) : "\n";
  }
  return table;
}

std::string profile_json(const ProfileSummary& summary, const std::vector<ProfileRow>& rows) {
  std::string json = "{\"program\": " + json_string(summary.program) +
                     ", \"version\": " + json_string(summary.version) +
                     ", \"built_with\": " + json_string(summary.built_with) +
                     format(
                         ", \"ranks\": %d, \"faces\": %lld, \"seconds\": %.6f, \"faces_per_s\": %.6g, "
                         "\"whole_run_s\": %.6f,\n \"stages\": [",
                         summary.ranks, static_cast<long long>(summary.faces), summary.elapsed_s,
                         summary.elapsed_s > 0 ? double(summary.faces) / summary.elapsed_s : 0.0, summary.whole_run_s);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const ProfileRow& row = rows[i];
    json += std::string(i ? "," : "") + "\n  {\"rank\": " + std::to_string(row.rank) +
            ", \"stage\": " + json_string(row.stage) + ", \"device\": " + json_string(row.device) +
            format(", \"seconds\": %.6f, \"bytes\": %lld, \"faces\": %lld, \"faces_per_s\": %.6g", row.seconds,
                   static_cast<long long>(row.bytes), static_cast<long long>(row.faces), faces_per_s(row));
    if (share_of_peak(row) > 0) json += format(", \"share_of_peak\": %.4f", share_of_peak(row));
    json += "}";
  }
  return json + "\n ]}\n";
}
