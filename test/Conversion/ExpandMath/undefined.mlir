// RUN: sq-opt %s --spikequant-expand-math --verify-diagnostics -o /dev/null

func.func @f64(%x: f64) -> f64 {
  // expected-warning @+1 {{'math.exp' has no definition in the strict float profile}}
  %y = math.exp %x : f64
  return %y : f64
}

func.func @atan(%x: f32) -> f32 {
  // expected-warning @+1 {{'math.atan' has no definition in the strict float profile}}
  %y = math.atan %x : f32
  return %y : f32
}
