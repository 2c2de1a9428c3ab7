// The network of network.svg: `make docs` draws its gated form.
spikequant.weights @bits : tensor<2xi8> format(#spikequant.real) value(dense<[3, 3]> : tensor<2xi8>)
spikequant.weights @first : tensor<2x2xf32> format(#spikequant.codes<bits = 4, group = 0, symmetric = true>)
    value(dense<[[7.0, -3.0], [2.0, 7.0]]> : tensor<2x2xf32>)
spikequant.weights @second : tensor<1x2xf32> format(#spikequant.codes<bits = 4, group = 0, symmetric = true>)
    value(dense<[[-7.0, 5.0]]> : tensor<1x2xf32>)
func.func @network(%x: tensor<1x2xf32>) -> tensor<1x1xi16> {
  %n0 = spikequant.encode %x {step = 0.5 : f32, site = "x", bits = @bits, code = #spikequant.code<gated>,
                              overflow = #spikequant.overflow<saturate>} : tensor<1x2xf32> -> tensor<1x2xi16>
  %a1 = spikequant.integrate %n0, @first : tensor<1x2xi16> -> tensor<1x2xi64>
  %n1 = spikequant.fire %a1 {multipliers = array<i64: 1>, biases = array<i64: 4>, shift = 3 : i32, lo = 0 : i32,
                             hi = 3 : i32} : tensor<1x2xi64> -> tensor<1x2xi16>
  %a2 = spikequant.integrate %n1, @second : tensor<1x2xi16> -> tensor<1x1xi64>
  %n2 = spikequant.fire %a2 {multipliers = array<i64: 1>, biases = array<i64: 2>, shift = 2 : i32, lo = -3 : i32,
                             hi = 3 : i32} : tensor<1x1xi64> -> tensor<1x1xi16>
  return %n2 : tensor<1x1xi16>
}
