struct P{
threads:u32,
zero:i32,
most:f32,
inverse:f32,
}
@group(0)@binding(0)var<uniform>p:P;
fn thread(id:vec3u)->u32{
return id.y*4194240u+id.x;
}
alias Bits=u32;
fn bitsOf(x:Bits)->u32{return x;}
fn ofBits(bits:u32)->Bits{return bits;}
fn ordered(bits:u32)->i32{
let magnitude=i32(bits&0x7fffffffu);
return select(magnitude,-magnitude,bits>=0x80000000u);
}
fn isNaN(bits:u32)->bool{
return(bits&0x7fffffffu)>0x7f800000u;
}
@group(0)@binding(1)var<storage,read>x:array<Bits>;
@group(0)@binding(2)var<storage,read>least:array<i32>;
@group(0)@binding(3)var<storage,read_write>y:array<u32>;
fn levelOf(bits:u32)->i32{
if(isNaN(bits)){return p.zero;}
let steps=floor(clamp(bitcast<f32>(bits),-p.most,p.most)*p.inverse);
let below=clamp(i32(steps)+p.zero,-128,126);
return select(below,below+1,ordered(bits)>=least[below+128]);
}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let i=thread(id);
if(i>=p.threads){return;}
var word=0u;
for(var k=0u;k<4u;k++){word|=(u32(levelOf(bitsOf(x[4u*i+k])))&255u)<<(8u*k);}
y[i]=word;
}
