struct P{
threads:u32,
channels:u32,
h:u32,
w:u32,
oh:u32,
ow:u32,
}
@group(0)@binding(0)var<uniform>p:P;
fn thread(id:vec3u)->u32{
return id.y*4194240u+id.x;
}
alias Word=u32;
alias Scalar=Word;
alias Stored=Word;
alias Value=Scalar;
alias Element=Stored;
fn valueAt(i:u32)->Value{return Value(x[i]);}
fn resultOf(i:u32)->Element{return Element(valueOf(i));}
@group(0)@binding(1)var<storage,read>x:array<Element>;
struct Entry{
first:u32,
second:u32,
weight:f32,
}
@group(0)@binding(2)var<storage,read>table:array<Entry>;
@group(0)@binding(3)var<storage,read_write>y:array<Element>;
fn valueOf(i:u32)->Value{
let pixel=i/p.channels;
let line=pixel/p.ow;
let image=line/p.oh;
let down=table[line-image*p.oh];
let across=table[p.oh+pixel-line*p.ow];
let channel=i-pixel*p.channels;
let upper=(image*p.h+down.first)*p.w;
let value=valueAt((upper+across.first)*p.channels+channel);
return value;
}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let i=thread(id);
if(i>=p.threads){return;}
y[i]=resultOf(i);
}
