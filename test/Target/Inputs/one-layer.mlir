spikequant.weights @bits : tensor<2xi8> format(#spikequant.real) value(dense<[4, 3]> : tensor<2xi8>)
spikequant.weights @w : tensor<2x2xf32> format(#spikequant.codes<bits = 4, group = 0, symmetric = true>)
    value(dense<[[7.0, -7.0], [0.0, 0.0]]> : tensor<2x2xf32>)
func.func @one_layer(%x: tensor<1x2xf32>) -> tensor<1x2xi16> {
  %n = spikequant.encode %x {step = 0.5 : f32, site = "w.in", bits = @bits, overflow = #spikequant.overflow<saturate>}
      : tensor<1x2xf32> -> tensor<1x2xi16>
  %a = spikequant.integrate %n, @w : tensor<1x2xi16> -> tensor<1x2xi64>
  %r = spikequant.fire %a {multipliers = array<i64: 1, 2>, biases = array<i64: 4, 4>, shift = 3 : i32, lo = -7 : i32, hi = 7 : i32}
      : tensor<1x2xi64> -> tensor<1x2xi16>
  return %r : tensor<1x2xi16>
}
