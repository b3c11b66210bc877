// What is moved as it is: an element of 4 bytes, or with F16 a half.
#if F16
enable f16;
alias Word = f16;
#else
alias Word = u32;
#end
