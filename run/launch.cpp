#include "run/launch.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

extern char** environ;

namespace {

// /proc/PID/stat, from the third field on: state, parent, group, session, terminal ...; empty without /proc.
std::vector<std::string> process_fields(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string line;
  std::getline(file, line);
  std::istringstream fields(line.substr(std::min(line.size(), line.rfind(')') + 1)));  // names may hold anything
  return {std::istream_iterator<std::string>(fields), {}};
}

pid_t parent_of(pid_t process) {
  if (process == getpid()) return getppid();
  const std::vector<std::string> fields = process_fields(process);
  return fields.size() > 1 ? std::atoi(fields[1].c_str()) : 0;
}

bool has_terminal(pid_t process) {
  const std::vector<std::string> fields = process_fields(process);
  return fields.size() > 4 && fields[4] != "0";
}

// How many tasks srun started beside this one. What runs in the shell of srun --pty has inherited the shell's variables
// and is no task itself: the task is the shell, and that one alone has a terminal.
const char* srun_tasks() {
  const char* task = std::getenv("SLURM_TASK_PID");
  if (!task || (std::atoi(task) != getpid() && has_terminal(std::atoi(task)))) return nullptr;
  return std::getenv("SLURM_STEP_NUM_TASKS");
}

// mpirun, other launchers by PMI, srun; nullptr without any.
const char* launched_processes_text() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    if (const char* text = std::getenv(name)) return text;
  }
  return srun_tasks();
}

// ---- Binding by mpirun

using Words = std::vector<std::string>;

bool starts_with(const std::string& text, const std::string& start) { return text.rfind(start, 0) == 0; }

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

bool holds_any(const std::string& text, const Words& parts) {
  return std::any_of(parts.begin(), parts.end(), [&](const std::string& part) { return text.find(part) != text.npos; });
}

// That this parameter of Open MPI 4 (hwloc_base_, rmaps_base_, orte_) or 5 (hwloc_default_, rmaps_default_), or this
// value of --map-by, binds.
bool parameter_binds(const std::string& name, const std::string& value) {
  if (holds_any(name, {"mapping_policy"})) return holds_any(value, {"pe=", "pe-list", "rankfile"});
  return holds_any(name, {"binding_policy", "bind_to", "cpu_set", "cpu_list", "slot_list", "rankfile", "rank_file_path",
                          "cpus_per_rank", "cpus_per_proc"});
}

// NAME=VALUE, in lower case, as mpirun hands its own parameters and those of files on.
bool variable_binds(const std::string& variable) {
  const std::size_t equals = variable.find('='), prefix = variable.find("_mca_");
  if (equals == variable.npos || prefix == variable.npos || prefix > equals) return false;
  return parameter_binds(variable.substr(prefix + 5, equals - prefix - 5), variable.substr(equals + 1));
}

// A command line of mpirun, in lower case. A file of further options may say anything, so it counts; and so does a
// program that binds, in front of ours.
bool command_binds(const Words& words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string word = words[i].substr(words[i].rfind('/') + 1);
    if (word == "taskset" || word == "numactl" || word == "hwloc-bind") return true;
    if (word[0] != '-' || i + 1 == words.size()) continue;
    std::string option = word.substr(std::min(word.size(), word.find_first_not_of('-')));
    std::replace(option.begin(), option.end(), '-', '_');
    for (const char* other : {"tune", "am", "app", "rf"}) {
      if (option == other) return true;
    }
    if (option == "map_by") option = "mapping_policy";
    if (parameter_binds(option, words[i + 1])) return true;
    const bool parameter = option.size() >= 3 && option.substr(option.size() - 3) == "mca";  // --mca, --prtemca ...
    if (parameter && i + 2 < words.size() && parameter_binds(words[i + 1], words[i + 2])) return true;
  }
  return false;
}

// A user's own file of parameters, "name = value" a line, which mpirun of Open MPI 4 does not hand on.
bool file_binds(const std::string& path) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    line = lower(line.substr(0, line.find('#')));
    const std::size_t equals = line.find('=');
    if (equals != line.npos && parameter_binds(line.substr(0, equals), line.substr(equals + 1))) return true;
  }
  return false;
}

// file: cmdline, or environ as it was at the start.
Words words_of(pid_t process, const std::string& file_name) {
  std::ifstream file("/proc/" + std::to_string(process) + "/" + file_name);
  Words words;
  for (std::string word; std::getline(file, word, '\0');) {
    if (!word.empty()) words.push_back(lower(word));
  }
  return words;
}

// What started this process, mpirun itself or a daemon of its on this node.
struct Daemon {
  pid_t process = 0;  // 0: none to be seen
  bool mpirun = false;
  Words command;
};

Daemon find_daemon() {
  for (pid_t process = parent_of(getpid()); process > 1; process = parent_of(process)) {
    const Words command = words_of(process, "cmdline");
    if (command.empty()) continue;
    const std::string name = command[0].substr(command[0].rfind('/') + 1);
    for (const char* mpirun : {"mpirun", "mpiexec", "orterun", "prterun"}) {
      if (starts_with(name, mpirun)) return {process, true, command};
    }
    if (name == "orted" || name == "prted") return {process, false, command};
  }
  return {};
}

}  // namespace

bool launched() { return launched_processes_text() != nullptr; }

int launched_processes() {
  const char* text = launched_processes_text();
  return text ? std::max(1, std::atoi(text)) : 1;
}

int launched_rank() {
  if (launched_processes() == 1) return 0;
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"}) {
    if (const char* text = std::getenv(name)) return std::atoi(text);
  }
  return 0;
}

bool launched_with_mpi() {
  if (launched_processes() == 1) return false;
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"}) {
    if (std::getenv(name)) return true;
  }
  return false;
}

int daemon_process() { return find_daemon().process; }

bool process_ended(int process) {
  const std::vector<std::string> fields = process_fields(process);
  return fields.empty() || fields[0] == "Z" || fields[0] == "X";  // nobody has asked for its status yet
}

CpuSet daemon_cpus() {
  const int process = daemon_process();
  return process ? CpuSet::of(process) : CpuSet::all();
}

Binding mpirun_binding() {
  if (!std::getenv("OMPI_COMM_WORLD_SIZE")) return Binding::kNone;
  const bool version_4 = std::getenv("OMPI_MCA_orte_launch") != nullptr;
  if (version_4 && !std::getenv("OMPI_MCA_orte_bound_at_launch")) return Binding::kNone;

  const Daemon daemon = find_daemon();
  Words variables = daemon.mpirun ? words_of(daemon.process, "environ") : Words();
  for (char** variable = environ; *variable; ++variable) variables.push_back(lower(*variable));
  if (std::any_of(variables.begin(), variables.end(), variable_binds)) return Binding::kAsked;
  const char* home = std::getenv("HOME");
  if (home && file_binds(std::string(home) + "/.openmpi/mca-params.conf")) return Binding::kAsked;
  if (daemon.mpirun && command_binds(daemon.command)) return Binding::kAsked;

  // mpirun of Open MPI 4 hands on all that it was asked for; that of 5 only what it found in files.
  if (version_4) return Binding::kDefault;
  if (daemon.process && CpuSet::of(0) == CpuSet::of(daemon.process)) return Binding::kNone;
  return daemon.mpirun ? Binding::kDefault : Binding::kUnknown;
}
