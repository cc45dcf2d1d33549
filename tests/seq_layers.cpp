// The layers of facegen_seq.cpp, one by one, for test_layers.py: a shared library that it builds and calls.
#include "../facegen_seq.cpp"

extern "C" {
void seq_proj(const float* in, const float* weight, const float* bias, float* out, int C, int K) {
  proj(in, weight, bias, out, C, K);
}
void seq_batch_norm(float* map, const float* beta, const float* gamma, const float* mean, const float* var, int HW,
                    int C) {
  batch_norm(map, beta, gamma, mean, var, HW, C);
}
void seq_relu(float* map, int HWC) { relu(map, HWC); }
void seq_tanh(float* map, int HWC) { tanh_layer(map, HWC); }
void seq_tconv(const float* in, const float* weight, const float* bias, float* out, int H, int W, int C, int K) {
  tconv(in, weight, bias, out, H, W, C, K);
}
}
