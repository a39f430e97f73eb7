// --NAME VALUE pairs of a command line.
#pragma once

#include <map>
#include <stdexcept>
#include <string>

namespace entrofleet::bench {

class Options {
 public:
  Options(int count, char** words) {
    for (int i = 0; i + 1 < count; i += 2) values_[words[i]] = words[i + 1];
  }

  // Throws std::runtime_error when it is neither given nor has a default.
  std::string text(const std::string& name, const char* otherwise = nullptr) const {
    const auto found = values_.find("--" + name);
    if (found != values_.end()) return found->second;
    if (otherwise == nullptr) throw std::runtime_error("--" + name + " is missing");
    return otherwise;
  }

  size_t number(const std::string& name, const char* otherwise = nullptr) const {
    return std::stoull(text(name, otherwise));
  }

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace entrofleet::bench
