struct P{
threads:u32,
n:u32,
inner:u32,
parts:u32,
length:u32,
empty:i32,
count:i32,
zero:i32,
multiplier:i32,
constant:i32,
shift:u32,
}
@group(0)@binding(0)var<uniform>p:P;
fn thread(id:vec3u)->u32{
return id.y*4194240u+id.x;
}
fn unpacked(word:u32)->vec4i{
return vec4i(vec4u(word)<<vec4u(24u,16u,8u,0u))>>vec4u(24u);
}
fn packed(v:vec4i)->u32{
let bytes=vec4u(v)&vec4u(255u);
return bytes.x|(bytes.y<<8u)|(bytes.z<<16u)|(bytes.w<<24u);
}
alias Element=u32;
alias Value=i32;
alias Shift=u32;
fn valueAt(i:u32)->Value{return i32(x[i/4u]<<(24u-i%4u*8u))>>24u;}
fn resultOf(i:u32)->Element{
var word=0u;
for(var k=0u;k<4u;k++){word|=(u32(valueOf(i*4u+k))&255u)<<(k*8u);}
return word;
}
@group(0)@binding(1)var<storage,read>x:array<Element>;
@group(0)@binding(2)var<storage,read_write>y:array<u32>;
fn sumOf(s:Value,v:Value)->Value{return s+v;}
fn maxOf(s:Value,v:Value)->Value{return max(s,v);}
fn minOf(s:Value,v:Value)->Value{return min(s,v);}
fn elementAt(i:u32)->Value{
return valueAt(i);
}
fn meanOf(sum:Value)->Value{
let total=sum+128*p.count;
let mean=total/p.count;
let rest=total-mean*p.count;
if(p.multiplier==0){return mean+(2*rest+p.count)/(2*p.count)-128;}
let fixed=256*mean+(256*rest+p.count/2)/p.count;
return clamp(((fixed-p.zero)*p.multiplier+p.constant)>>Shift(p.shift),Value(),Value(255))-128;
}
fn valueOf(i:u32)->Value{
let part=i/p.inner;
let first=part%p.parts*p.length;
let start=(part/p.parts*p.n+first)*p.inner+i%p.inner;
let end=start+min(p.length,p.n-first)*p.inner;
var s=Value(p.empty);
for(var at=start;at<end;at+=p.inner){s=sumOf(s,elementAt(at));}
s=meanOf(s);
return s;
}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let i=thread(id);
if(i>=p.threads){return;}
y[i]=resultOf(i);
}
