#pragma once
#include <cstddef>
#include <cstdint>

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

enum TfLiteType { kTfLiteFloat32 = 1, kTfLiteInt32 = 2, kTfLiteUInt8 = 3, kTfLiteInt64 = 4, kTfLiteBool = 6, kTfLiteInt16 = 7, kTfLiteInt8 = 9 };
struct TfLiteTensor {
  TfLiteType type;
  union {
    char* raw;
    float* f;
  } data;
  size_t bytes;
};
// The model of the test: float32 [1, 4] to float32 [1, 3], `y = x · W + b`; weights are given by the test.
extern const float stub_weights[12];
extern const float stub_bias[3];
namespace tflite {
class MicroInterpreter {
 public:
  MicroInterpreter(const Model*, const MicroOpResolver&, uint8_t* arena, size_t size) : arena_(arena), size_(size) {}
  TfLiteStatus AllocateTensors() {
    if (size_ < 256 || reinterpret_cast<uintptr_t>(arena_) % 16 != 0) return kTfLiteError;
    input_ = {kTfLiteFloat32, {reinterpret_cast<char*>(arena_)}, 16};
    output_ = {kTfLiteFloat32, {reinterpret_cast<char*>(arena_) + 64}, 12};
    return kTfLiteOk;
  }
  TfLiteTensor* input(size_t) { return &input_; }
  TfLiteTensor* output(size_t) { return &output_; }
  size_t arena_used_bytes() const { return 256; }
  TfLiteStatus Invoke() {
    for (int column = 0; column < 3; ++column) {
      output_.data.f[column] = stub_bias[column];
      for (int row = 0; row < 4; ++row) output_.data.f[column] += input_.data.f[row] * stub_weights[row * 3 + column];
    }
    return kTfLiteOk;
  }

 private:
  uint8_t* arena_;
  size_t size_;
  TfLiteTensor input_, output_;
};
}  // namespace tflite
