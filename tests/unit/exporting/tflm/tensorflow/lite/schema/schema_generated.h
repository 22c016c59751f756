#pragma once
#include <cstdint>
#define TFLITE_SCHEMA_VERSION 3
namespace tflite {
struct Model {
  const void* content;
  uint32_t version() const { return 3; }
};
inline const Model* GetModel(const void* content) {
  static Model model;
  model.content = content;
  return &model;
}
}  // namespace tflite
