// A stand-in for Falcon: a thread per node, and a ring with a mutex and a condition variable
// between any two of them.
//
//     falcon_like PIPELINES STAGES PTY
//
// The layout is that of the latency test in Ciliberti and Kloosterman, J Neural Eng 14:045004
// (2017): one thread receives UDP packets and splits them among the pipelines; each pipeline is
// STAGES - 1 one-tap filters and a threshold, each in a thread of its own; one thread waits until
// all pipelines have found something, and one more writes a byte. A ring has one writer and any
// number of readers, is guarded by a recursive mutex, and wakes all that wait at each packet, as
// Falcon's does with the waiting strategy that its processors use. None of Falcon's code is in here.
//
// It prints {"port": N}, runs until an empty packet comes, and then prints how long it took from
// the return of the receiving call until the byte was written, in microseconds.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

constexpr int kChannels = 4;    // of a pipeline
constexpr int kSamples = 6;     // of a packet
constexpr int kRingSize = 256;  // packets, Falcon's default
constexpr int kWarmUp = 10;     // events that are left out

using Clock = std::chrono::steady_clock;

// Packets are made once and filled again and again.
struct Packet {
  Clock::time_point received;
  int64_t serial = 0;
  bool is_event = false;
  float data[kSamples][kChannels] = {};
};

// One writer, any number of readers; who is a whole ring ahead of the slowest reader waits.
class Ring {
 public:
  Ring() : slots_(kRingSize) {}

  // Before its writer runs.
  int add_reader() {
    read_.push_back(std::make_unique<std::atomic<int64_t>>(-1));
    return static_cast<int>(read_.size()) - 1;
  }

  // Return the next packet to be filled.
  Packet& claim() {
    const int64_t next = written_.load(std::memory_order_relaxed) + 1;
    while (next - slowest() > kRingSize) std::this_thread::yield();
    return slots_[next % kRingSize];
  }

  void publish() {
    written_.fetch_add(1, std::memory_order_release);
    std::lock_guard<std::recursive_mutex> lock(mutex_);
    changed_.notify_all();
  }

  void end() {
    ended_.store(true);
    std::lock_guard<std::recursive_mutex> lock(mutex_);
    changed_.notify_all();
  }

  // Wait for a reader's next packet; nullptr if none follows.
  const Packet* next(int reader) {
    const int64_t wanted = read_[reader]->load(std::memory_order_relaxed) + 1;
    if (written_.load(std::memory_order_acquire) < wanted) {
      std::unique_lock<std::recursive_mutex> lock(mutex_);
      changed_.wait(lock, [&] {
        return written_.load(std::memory_order_acquire) >= wanted || ended_.load();
      });
      if (written_.load(std::memory_order_acquire) < wanted) return nullptr;
    }
    return &slots_[wanted % kRingSize];
  }

  void release(int reader) { read_[reader]->fetch_add(1, std::memory_order_release); }

 private:
  int64_t slowest() const {
    int64_t least = INT64_MAX;
    for (const auto& each : read_) least = std::min(least, each->load(std::memory_order_acquire));
    return least;
  }

  std::vector<Packet> slots_;
  std::vector<std::unique_ptr<std::atomic<int64_t>>> read_;
  std::atomic<int64_t> written_{-1};
  std::atomic<bool> ended_{false};
  std::recursive_mutex mutex_;
  std::condition_variable_any changed_;
};

// A node's end of the ring it reads.
struct Source {
  explicit Source(Ring& from) : ring(from), reader(from.add_reader()) {}
  const Packet* next() { return ring.next(reader); }
  void release() { ring.release(reader); }
  Ring& ring;
  int reader;
};

void filter(Source in, Ring& out) {
  while (const Packet* packet = in.next()) {
    Packet& made = out.claim();
    made.received = packet->received;
    made.serial = packet->serial;
    for (int row = 0; row < kSamples; ++row)
      for (int channel = 0; channel < kChannels; ++channel)
        made.data[row][channel] = 0.99f * packet->data[row][channel];
    in.release();
    out.publish();
  }
  out.end();
}

void detect(Source in, Ring& out) {
  bool was_high = false;
  while (const Packet* packet = in.next()) {
    const bool is_high = packet->data[kSamples - 1][0] > 0.5f;
    if (is_high && !was_high) {
      Packet& event = out.claim();
      event.received = packet->received;
      event.serial = packet->serial;
      event.is_event = true;
      out.publish();
    }
    was_high = is_high;
    in.release();
  }
  out.end();
}

void synchronise(std::vector<Source> ins, Ring& out) {
  for (;;) {
    Clock::time_point received;
    int64_t serial = 0;
    for (Source& in : ins) {
      const Packet* event = in.next();
      if (event == nullptr) {
        out.end();
        return;
      }
      received = event->received;
      serial = event->serial;
      in.release();
    }
    Packet& event = out.claim();
    event.received = received;
    event.serial = serial;
    event.is_event = true;
    out.publish();
  }
}

void trigger(Source in, int pty, std::vector<double>& latencies) {
  while (const Packet* event = in.next()) {
    if (write(pty, "\x01", 1) != 1) std::perror("falcon_like: pty");
    const std::chrono::duration<double, std::micro> took = Clock::now() - event->received;
    latencies.push_back(took.count());
    in.release();
  }
}

int64_t receive(int socket, std::vector<Ring>& outs) {
  std::vector<float> buffer(65536 / sizeof(float));
  const size_t width = kChannels * outs.size();
  int64_t serial = 0;
  for (;;) {
    const ssize_t n = recv(socket, buffer.data(), buffer.size() * sizeof(float), 0);
    const auto now = Clock::now();
    if (n <= 0) break;  // the end, or nothing for long
    for (size_t pipeline = 0; pipeline < outs.size(); ++pipeline) {
      Packet& packet = outs[pipeline].claim();
      packet.received = now;
      packet.serial = serial;
      for (int row = 0; row < kSamples; ++row)
        std::memcpy(packet.data[row], &buffer[row * width + pipeline * kChannels],
                    sizeof packet.data[row]);
      outs[pipeline].publish();
    }
    ++serial;
  }
  for (Ring& out : outs) out.end();
  return serial;
}

int bound_socket() {
  const int made = socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (made < 0 || bind(made, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      getsockname(made, reinterpret_cast<sockaddr*>(&address), &length) != 0)
    throw std::runtime_error("no UDP port on the loopback interface");
  const timeval quiet{10, 0};
  setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, &quiet, sizeof quiet);
  std::printf("{\"port\": %d}\n", ntohs(address.sin_port));
  std::fflush(stdout);
  return made;
}

double percentile(const std::vector<double>& sorted, double percent) {
  if (sorted.empty()) return 0;
  const double at = percent / 100 * static_cast<double>(sorted.size() - 1);
  const size_t low = static_cast<size_t>(at), high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

void report(std::vector<double> latencies, int64_t received, int threads) {
  const size_t events = latencies.size();
  latencies.erase(latencies.begin(),
                  latencies.begin() + static_cast<long>(std::min<size_t>(kWarmUp, events)));
  std::sort(latencies.begin(), latencies.end());
  std::map<long, int> histogram;  // 10 µs wide
  for (double latency : latencies) ++histogram[static_cast<long>(latency / 10) * 10];
  std::printf("{\"events\": %zu, \"received\": %lld, \"threads\": %d, ", events,
              static_cast<long long>(received), threads);
  std::printf("\"median\": %.3f, \"p99\": %.3f, \"max\": %.3f, \"histogram\": {",
              percentile(latencies, 50), percentile(latencies, 99), percentile(latencies, 100));
  const char* comma = "";
  for (const auto& [edge, count] : histogram) {
    std::printf("%s\"%ld\": %d", comma, edge, count);
    comma = ", ";
  }
  std::printf("}}\n");
}

void run(int pipelines, int stages, const char* path) {
  const int pty = open(path, O_RDWR | O_NOCTTY);
  if (pty < 0) throw std::runtime_error("cannot open the pty");

  // rings[s][p]: what stage s of pipeline p reads; the last are the detectors' events.
  std::vector<std::vector<Ring>> rings;
  for (int stage = 0; stage <= stages; ++stage) rings.emplace_back(pipelines);
  Ring synced;
  std::vector<double> latencies;
  latencies.reserve(1 << 16);

  std::vector<Source> events;
  for (Ring& ring : rings[stages]) events.emplace_back(ring);
  Source last(synced);
  std::vector<std::thread> threads;
  threads.emplace_back(trigger, last, pty, std::ref(latencies));
  threads.emplace_back(synchronise, events, std::ref(synced));
  for (int stage = stages; stage-- > 0;)
    for (int pipeline = 0; pipeline < pipelines; ++pipeline) {
      Source in(rings[stage][pipeline]);
      Ring& out = rings[stage + 1][pipeline];
      threads.emplace_back(stage + 1 < stages ? filter : detect, in, std::ref(out));
    }

  const int socket = bound_socket();
  int64_t received = 0;
  std::thread reader([&] { received = receive(socket, rings[0]); });
  reader.join();
  for (std::thread& thread : threads) thread.join();
  report(latencies, received, static_cast<int>(threads.size()) + 1);
  close(socket);
  close(pty);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 || std::atoi(argv[1]) < 1 || std::atoi(argv[2]) < 1) {
    std::fprintf(stderr, "usage: falcon_like PIPELINES STAGES PTY\n");
    return 2;
  }
  try {
    run(std::atoi(argv[1]), std::atoi(argv[2]), argv[3]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "falcon_like: %s\n", error.what());
    return 1;
  }
  return 0;
}
