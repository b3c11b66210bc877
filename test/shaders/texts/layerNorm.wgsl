struct P{
threads:u32,
n:u32,
parts:u32,
length:u32,
epsilon:f32,
gamma:u32,
beta:u32,
}
@group(0)@binding(0)var<uniform>p:P;
fn thread(id:vec3u)->u32{
return id.y*4194240u+id.x;
}
alias real=f32;
alias real4=vec4<real>;
@group(0)@binding(1)var<storage,read>x:array<real>;
@group(0)@binding(2)var<storage,read>parts:array<vec2f>;
struct Part{
first:u32,
row:u32,
start:u32,
end:u32,
}
fn partAt(i:u32)->Part{
let row=i/p.parts;
let start=(i-row*p.parts)*p.length;
return Part(row*p.parts,row*p.n,row*p.n+start,row*p.n+min(start+p.length,p.n));
}
fn fourAt(i:u32,end:u32,otherwise:f32)->vec4f{
let at=vec4u(i,i+1u,i+2u,i+3u);
return select(vec4f(otherwise),vec4f(real4(x[at.x],x[at.y],x[at.z],x[at.w])),at<vec4u(end));
}
fn sumOf(v:vec4f)->f32{return(v.x+v.z)+(v.y+v.w);}
fn write(i:u32,end:u32,v:vec4f){
y[i]=real(v.x);
if(i+1u<end){y[i+1u]=real(v.y);}
if(i+2u<end){y[i+2u]=real(v.z);}
if(i+3u<end){y[i+3u]=real(v.w);}
}
@group(0)@binding(3)var<storage,read>gamma:array<real>;
@group(0)@binding(4)var<storage,read>beta:array<real>;
@group(0)@binding(5)var<storage,read_write>y:array<real>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let i=thread(id);
if(i>=p.threads){return;}
let part=partAt(i);
var mean=0.0;
for(var k=0u;k<p.parts;k++){mean+=parts[part.first+k].x*share(k);}
var variance=0.0;
for(var k=0u;k<p.parts;k++){
let one=parts[part.first+k];
let d=one.x-mean;
variance+=one.y/f32(p.n)+d*d*share(k);
}
let factor=1.0/sqrt(variance+p.epsilon);
for(var k=part.start;k<part.end;k+=4u){
var v=(fourAt(k,part.end,0.0)-mean)*factor;
let c=k-part.row;
if(p.gamma!=0u){v*=vec4f(real4(gamma[c],gamma[c+1u],gamma[c+2u],gamma[c+3u]));}
if(p.beta!=0u){v+=vec4f(real4(beta[c],beta[c+1u],beta[c+2u],beta[c+3u]));}
write(k,part.end,v);
}
}
fn share(k:u32)->f32{return f32(min(p.length,p.n-k*p.length))/f32(p.n);}
