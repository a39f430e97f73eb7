#include "kernels/gram_factor.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/calibration_kernels.h"
#include "kernels/codec_failure.h"
#include "kernels/thread_team.h"

namespace entrofleet {
namespace {

// Columns that are eliminated together.
constexpr size_t kPanel = 64;
// Of the mean diagonal: a pivot below it is rounding.
constexpr double kLeastPivot = 1e-12;

double mean_diagonal(std::span<const double> gram, size_t columns) {
  double sum = 0;
  for (size_t i = 0; i < columns; ++i) sum += gram[i * columns + i];
  return sum / static_cast<double>(columns);
}

std::vector<uint32_t> falling_order(std::span<const double> gram, size_t columns) {
  std::vector<uint32_t> order(columns);
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return gram[a * columns + a] > gram[b * columns + b];
  });
  return order;
}

// A copy with the columns in reversed order, lower triangle: its Cholesky factor is that of
// U D U^T.
std::vector<double> reversed(std::span<const double> gram, const std::vector<uint32_t>& order) {
  const size_t n = order.size();
  std::vector<double> matrix(n * n);
  for (size_t i = 0; i < n; ++i) {
    const size_t row = order[n - 1 - i];
    for (size_t j = 0; j <= i; ++j) {
      const size_t column = order[n - 1 - j];
      matrix[i * n + j] = gram[std::max(row, column) * n + std::min(row, column)];
    }
  }
  return matrix;
}

// Rows first..end - 1 of the panel's columns, given that the panel's own rows are done before.
void solve_row(std::vector<double>& matrix, size_t n, size_t row, size_t first, size_t end) {
  double* const target = matrix.data() + row * n;
  for (size_t k = first; k < end; ++k) {
    const double* pivot_row = matrix.data() + k * n;
    double value = target[k];
    for (size_t m = first; m < k; ++m) value -= target[m] * pivot_row[m];
    target[k] = value / pivot_row[k];
  }
}

// Cholesky in place, left to right in panels: C with C C^T = matrix, on and below the diagonal.
void cholesky(std::vector<double>& matrix, size_t n, double least_pivot, ThreadTeam& team) {
  const CalibrationKernels& kernels = calibration_kernels(active_isa());
  std::vector<double> panel(kPanel * n);
  for (size_t first = 0; first < n; first += kPanel) {
    const size_t end = std::min(first + kPanel, n);
    for (size_t k = first; k < end; ++k) {
      double value = matrix[k * n + k];
      double* const row = matrix.data() + k * n;
      for (size_t m = first; m < k; ++m) {
        double element = row[m];
        const double* pivot_row = matrix.data() + m * n;
        for (size_t i = first; i < m; ++i) element -= row[i] * pivot_row[i];
        row[m] = element / pivot_row[m];
        value -= row[m] * row[m];
      }
      row[k] = std::sqrt(std::max(value, least_pivot));
    }
    const size_t left = n - end;
    const size_t blocks = left / kPanel + (left % kPanel != 0);
    team.share(blocks, [&](size_t block, int) {
      const size_t begin = end + block * kPanel;
      for (size_t row = begin; row < std::min(begin + kPanel, n); ++row) {
        solve_row(matrix, n, row, first, end);
        for (size_t k = first; k < end; ++k) {
          panel[(k - first) * n + row] = -matrix[row * n + k];
        }
      }
    });
    team.share(blocks, [&](size_t block, int) {
      const size_t begin = end + (blocks - 1 - block) * kPanel;
      const size_t rows = std::min(kPanel, n - begin);
      kernels.add_products_double({matrix.data() + begin * n + first, n, 1, panel.data() + end, n,
                                   matrix.data() + begin * n + end, n, rows, end - first,
                                   begin + rows - end});
    });
  }
}

}  // namespace

GramFactor factor_gram(std::span<double> gram, size_t columns, double damping, size_t threads) {
  const size_t n = columns;
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j <= i; ++j) {
      if (!std::isfinite(gram[i * n + j])) {
        throw CodecFailure{"BadArgument", "the Gram matrix has an element that is not finite",
                           i * n + j};
      }
    }
  }
  double mean = mean_diagonal(gram, n);
  const double added = mean > 0 ? damping * mean : 1;
  for (size_t i = 0; i < n; ++i) gram[i * n + i] += added;
  mean = mean_diagonal(gram, n);
  GramFactor factor;
  factor.order = falling_order(gram, n);
  std::vector<double> matrix = reversed(gram, factor.order);
  ThreadTeam team(useful_threads(threads, n / kPanel + 1));
  cholesky(matrix, n, kLeastPivot * mean, team);
  factor.pivots.resize(n);
  factor.feedback = OwnedArray<float>(n * (n - 1) / 2);
  team.share(n, [&](size_t k, int) {
    // Position k of the order is row n - 1 - k of the reversed matrix.
    const size_t at = n - 1 - k;
    const double root = matrix[at * n + at];
    factor.pivots[k] = root * root;
    float* const row = factor.feedback.elements.get() + feedback_row(k);
    for (size_t j = 0; j < k; ++j) {
      row[j] = static_cast<float>(matrix[(n - 1 - j) * n + at] / root);
    }
  });
  return factor;
}

}  // namespace entrofleet
