enable f16;
struct P{
threads:u32,
n:u32,
}
@group(0)@binding(0)var<uniform>p:P;
fn thread(id:vec3u)->u32{
return id.y*4194240u+id.x;
}
alias Bits=f16;
fn bitsOf(x:Bits)->u32{return bitcast<u32>(f32(x));}
fn ofBits(bits:u32)->Bits{return Bits(bitcast<f32>(bits));}
fn unpacked(word:u32)->vec4i{
return vec4i(vec4u(word)<<vec4u(24u,16u,8u,0u))>>vec4u(24u);
}
fn packed(v:vec4i)->u32{
let bytes=vec4u(v)&vec4u(255u);
return bytes.x|(bytes.y<<8u)|(bytes.z<<16u)|(bytes.w<<24u);
}
@group(0)@binding(1)var<storage,read>x:array<Bits>;
fn wordAt(i:u32)->u32{return bitsOf(x[i]);}
@group(0)@binding(2)var<storage,read_write>y:array<u32>;
fn write(i:u32,word:u32){y[i]=word;}
fn truncated(v:vec4u)->vec4u{
let real=bitcast<vec4f>(v);
let whole=vec4i(clamp(real,vec4f(-2147483648.0),vec4f(2147483520.0)));
let within=select(whole,vec4i(0x7fffffff),real>=vec4f(2147483648.0));
return vec4u(select(within,vec4i(0),(v&vec4u(0x7fffffffu))>vec4u(0x7f800000u)));
}
fn saturated(v:vec4u)->vec4u{return vec4u(clamp(vec4i(v),vec4i(0),vec4i(255)));}
fn converted(v:vec4u)->vec4u{return bitcast<vec4u>(vec4f(vec4i(v)));}
fn unsigned(v:vec4u)->vec4u{return v&vec4u(0x7fffffffu);}
fn truth(v:vec4u)->vec4u{return select(vec4u(0u),vec4u(1u),v!=vec4u(0u));}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let i=thread(id);
if(i>=p.threads){return;}
var v=vec4u(wordAt(4u*i),wordAt(4u*i+1u),wordAt(4u*i+2u),wordAt(4u*i+3u));
let count=min(4u,p.n-4u*i);
for(var k=0u;k<count;k++){write(4u*i+k,v[k]);}
}
