// Codes of 4 bits, and offsets with sums of counts.
func.func @dots(%acc: vector<16xi32>, %codes: vector<64xi8>, %counts: vector<64xi8>,
                %offsets: vector<32xi16>, %sums: vector<32xi16>) -> vector<16xi32> {
  %mask = arith.constant dense<15> : vector<64xi8>
  %low = arith.andi %codes, %mask : vector<64xi8>
  %0 = spikequant.dot4 %acc, %low, %counts : vector<16xi32>, vector<64xi8>
  %1 = spikequant.dot2 %0, %offsets, %sums : vector<16xi32>, vector<32xi16>
  return %1 : vector<16xi32>
}
