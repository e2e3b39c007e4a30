export { gemm, gemmScratchBytes } from './gemm';
export { exp, softmax } from './elementwise';
export { segmentSum, sumMiddle } from './reduce';
export { lif, lifGrad } from './lif';
export { spikeMatMul, spikeMatMulGradW, spikeMatMulGradWScratchBytes, spikeMatMulScratchBytes } from './spike-matmul';
