#include "run/launch.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <initializer_list>
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

// The first of these variables that is set; nullptr without any.
const char* first_of(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const char* text = std::getenv(name)) return text;
  }
  return nullptr;
}

// By mpirun, other launchers by PMI, srun; nullptr without any.
const char* launched_processes_text() {
  const char* text = first_of({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"});
  return text ? text : srun_tasks();
}

// ---- Binding by mpirun

using Words = std::vector<std::string>;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool holds_any(const std::string& text, const Words& parts) {
  return std::any_of(parts.begin(), parts.end(), [&](const std::string& part) { return text.find(part) != text.npos; });
}

// That this option of mpirun, or this parameter of Open MPI 4 (hwloc_base_, rmaps_base_, orte_) or 5 (hwloc_default_,
// rmaps_default_), binds; in lower case.
bool binds(std::string name, const std::string& value) {
  name.erase(0, name.find_first_not_of('-'));
  std::replace(name.begin(), name.end(), '-', '_');
  for (const char* file : {"tune", "am", "app", "rf"}) {  // of further options, which may say anything
    if (name == file) return true;
  }
  if (holds_any(name, {"mapping_policy", "map_by"})) return holds_any(value, {"pe=", "pe-list", "rankfile"});
  return holds_any(name, {"binding_policy", "bind_to", "cpu_set", "cpu_list", "slot_list", "rankfile", "rank_file_path",
                          "cpus_per_rank", "cpus_per_proc"});
}

// NAME=VALUE, in lower case, as mpirun hands its own parameters and those of files on.
bool variable_binds(const std::string& variable) {
  const std::size_t equals = variable.find('='), prefix = variable.find("_mca_");
  if (equals == variable.npos || prefix == variable.npos || prefix > equals) return false;
  return binds(variable.substr(prefix + 5, equals - prefix - 5), variable.substr(equals + 1));
}

// A command line of mpirun, in lower case: its options, its parameters (--mca NAME VALUE, --prtemca ...), and a program
// that binds, in front of ours.
bool command_binds(const Words& words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (holds_any(" " + base_name(words[i]) + " ", {" taskset ", " numactl ", " hwloc-bind "})) return true;
    const std::string before = i > 0 ? words[i - 1] : "";
    const bool parameter = before[0] == '-' && before.size() > 3 && before.substr(before.size() - 3) == "mca";
    if ((words[i][0] == '-' || parameter) && i + 1 < words.size() && binds(words[i], words[i + 1])) return true;
  }
  return false;
}

// A user's own file of parameters, "name = value" a line, which mpirun of Open MPI 4 does not hand on.
bool file_binds(const std::string& path) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    line = lower(line.substr(0, line.find('#')));
    const std::size_t equals = line.find('=');
    if (equals != line.npos && binds(line.substr(0, equals), line.substr(equals + 1))) return true;
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
    const std::string name = " " + base_name(command[0]);
    if (holds_any(name, {" mpirun", " mpiexec", " orterun", " prterun"})) return {process, true, command};
    if (name == " orted" || name == " prted") return {process, false, command};
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
  const char* text = first_of({"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"});
  return text && launched_processes() > 1 ? std::atoi(text) : 0;
}

bool launched_with_mpi() {
  return launched_processes() > 1 && first_of({"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"});
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
