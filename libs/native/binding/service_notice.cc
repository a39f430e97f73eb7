// ServiceBinding of src/service.types.ts: one datagram to the service manager, as in sd_notify(3),
// because Node has no datagram sockets of the local kind.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>

#include "binding/codec_arguments.h"
#include "binding/codec_worker.h"
#include "binding/parts.h"

namespace entrofleet {
namespace {

// Its errno, or 0. It never blocks: the event loop calls it.
int send_datagram(const sockaddr_un& address, socklen_t size_bytes, const std::string& text) {
  const int socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket_fd < 0) return errno;
  const ssize_t sent = sendto(socket_fd, text.data(), text.size(), MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&address), size_bytes);
  const int failure = sent < 0 ? errno : 0;
  close(socket_fd);
  return failure;
}

void notify(const CodecArguments& arguments) {
  const std::string path = arguments.text("socketPath");
  const std::string text = arguments.text("message");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // The path is kept with a zero after it; one that begins with @ is abstract, without a file.
  const bool is_path = !path.empty() && (path[0] == '/' || path[0] == '@');
  if (!is_path || path.size() >= sizeof(address.sun_path)) {
    arguments.refuse("socketPath", "an absolute path or an abstract name of at most 107 bytes");
  }
  if (text.empty()) arguments.refuse("message", "a text");
  std::memcpy(address.sun_path, path.data(), path.size());
  const size_t offset = offsetof(sockaddr_un, sun_path);
  size_t size_bytes = offset + path.size() + 1;
  if (path[0] == '@') {
    address.sun_path[0] = '\0';
    size_bytes = offset + path.size();
  }
  const int failure = send_datagram(address, static_cast<socklen_t>(size_bytes), text);
  if (failure == 0) return;
  throw CodecFailure{"NotNotified", path + " took no message: " + std::strerror(failure),
                     std::nullopt};
}

Napi::Value notify_service(const Napi::CallbackInfo& info) {
  try {
    notify(CodecArguments(info, "notifyService"));
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_error(info.Env(), current_codec_failure());
  }
  return info.Env().Undefined();
}

}  // namespace

void add_service(Napi::Env env, Napi::Object exports) {
  exports.Set("notifyService", Napi::Function::New(env, notify_service, "notifyService"));
}

}  // namespace entrofleet
