// Products of small panels. Included by calibration_kernels.body.h.

typedef float FloatVector __attribute__((vector_size(32)));
typedef double DoubleVector __attribute__((vector_size(32)));

// kRows x (kVectors vectors) sums stay in registers over the whole depth. The caller has made sure
// that rows first_row.. and columns first.. of that many are there.
template <typename Element, typename Vector, size_t kRows, size_t kVectors>
static void add_tile(const ProductSum<Element>& product, size_t first_row, size_t first) {
  constexpr size_t kLanes = sizeof(Vector) / sizeof(Element);
  Vector sums[kRows][kVectors];
  Element* const target = product.sums + first_row * product.sums_stride + first;
  for (size_t r = 0; r < kRows; ++r) {
    __builtin_memcpy(sums[r], target + r * product.sums_stride, sizeof(sums[r]));
  }
  const Element* left = product.left + first_row * product.left_row;
  const Element* right = product.right + first;
  for (size_t d = 0; d < product.depth; ++d) {
    Vector terms[kVectors];
    __builtin_memcpy(terms, right, sizeof(terms));
    for (size_t r = 0; r < kRows; ++r) {
      const Element factor = left[r * product.left_row];
      for (size_t v = 0; v < kVectors; ++v) sums[r][v] += factor * terms[v];
    }
    left += product.left_depth;
    right += product.right_stride;
  }
  for (size_t r = 0; r < kRows; ++r) {
    __builtin_memcpy(target + r * product.sums_stride, sums[r], sizeof(sums[r]));
  }
  static_assert(kLanes * sizeof(Element) == sizeof(Vector));
}

template <typename Element>
static void add_columns(const ProductSum<Element>& product, size_t row, size_t first) {
  for (size_t w = first; w < product.width; ++w) {
    Element sum = product.sums[row * product.sums_stride + w];
    for (size_t d = 0; d < product.depth; ++d) {
      sum += product.left[row * product.left_row + d * product.left_depth] *
             product.right[d * product.right_stride + w];
    }
    product.sums[row * product.sums_stride + w] = sum;
  }
}

template <typename Element, typename Vector>
static void add_panel(const ProductSum<Element>& product) {
  constexpr size_t kRows = 4;
  constexpr size_t kVectors = 2;
  // A single row needs more sums side by side to keep the adders busy.
  constexpr size_t kLoneVectors = 8;
  constexpr size_t kLanes = sizeof(Vector) / sizeof(Element);
  const size_t whole = product.rows - product.rows % kRows;
  size_t first = 0;
  for (; first + kVectors * kLanes <= product.width; first += kVectors * kLanes) {
    for (size_t row = 0; row < whole; row += kRows) {
      add_tile<Element, Vector, kRows, kVectors>(product, row, first);
    }
  }
  for (size_t row = 0; row < whole; ++row) add_columns(product, row, first);
  for (size_t row = whole; row < product.rows; ++row) {
    size_t begin = 0;
    for (; begin + kLoneVectors * kLanes <= product.width; begin += kLoneVectors * kLanes) {
      add_tile<Element, Vector, 1, kLoneVectors>(product, row, begin);
    }
    for (; begin + kLanes <= product.width; begin += kLanes) {
      add_tile<Element, Vector, 1, 1>(product, row, begin);
    }
    add_columns(product, row, begin);
  }
}

static void add_products(const ProductSum<float>& product) {
  add_panel<float, FloatVector>(product);
}

static void add_products_double(const ProductSum<double>& product) {
  add_panel<double, DoubleVector>(product);
}
