#include "kernels/window_resident.h"

#include <algorithm>
#include <utility>

namespace entrofleet {
namespace {

// As many as share the unpacking of their inputs.
constexpr size_t kItemGroups = kPanelGroups;

}  // namespace

WindowResident::WindowResident(std::shared_ptr<const WindowMatrix> windows, float zero_point,
                               std::vector<float> steps)
    : ResidentMatrix(windows->shape().rows, windows->shape().columns),
      windows_(std::move(windows)),
      zero_point_(zero_point),
      steps_(std::move(steps)) {}

size_t WindowResident::resident_bytes() const {
  return windows_->resident_bytes() + steps_.size() * sizeof(float);
}

size_t WindowResident::items() const {
  return (window_groups(rows()) + kItemGroups - 1) / kItemGroups;
}

size_t WindowResident::scratch_bytes(size_t /*positions*/) const { return kWindowScratchBytes; }

void WindowResident::multiply(const MatrixInputs& inputs, size_t item,
                              const ProductScratch& scratch,
                              const MatrixOutputs& outputs) const noexcept {
  const WindowProduct product{&windows_->view(), &inputs.quantized, zero_point_,
                              steps_.data(),     steps_.size() > 1, outputs.bias,
                              outputs.values,    outputs.stride,    false};
  const size_t begin = item * kItemGroups;
  const size_t end = std::min(begin + kItemGroups, window_groups(rows()));
  engine_kernels(active_isa()).multiply_windows(product, begin, end, scratch.own);
}

void WindowResident::read_row(size_t row, float* values) const {
  uint8_t symbols[kMostWindowColumns];
  windows_->read_row(engine_kernels(active_isa()), row, columns(), symbols);
  const float step = steps_[steps_.size() > 1 ? row : 0];
  for (size_t c = 0; c < columns(); ++c) {
    values[c] = step * (static_cast<float>(symbols[c]) - zero_point_);
  }
}

}  // namespace entrofleet
