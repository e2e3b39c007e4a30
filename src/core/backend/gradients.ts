// tfjs-core defines the gradients of the standard operations, but its Node bundle leaves registering them to the packages above
// it; tfjs-layers does, and needs nothing but tfjs-core.
import '@tensorflow/tfjs-layers';
