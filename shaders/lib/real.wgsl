// What tensors of f32 are made of in memory: halves with F16. Arithmetic is in f32 all the same.
#if F16
enable f16;
alias real = f16;
#else
alias real = f32;
#end
alias real4 = vec4<real>;
