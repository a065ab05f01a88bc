(** * Networks whose biases are rounded

    The checker's numbers are integers over 2^100; a network may have biases that are not.

    - [near]: the same unit, but for a bias rounded away from 0, by at most [far];
    - [near_valid]: what is [valid] for the rounded network is so for the other one, if linear units have
      room for [far] in their rest.

    Rests on Bound.v and Rules.v. *)

From Coq Require Import Reals Lra Lia List ZArith Permutation Sorted.
From Lastbit Require Import Statement Totals operations.Units binary32.WorstTree binary32.Terms binary32.Sums binary32.Layers.
From Lastbit Require Import network.Duals network.Forms network.Bound network.Rules.
Import ListNotations.
Open Scope R_scope.

Inductive near (far : R) : operation -> operation -> Prop :=
| near_same o : near far o o
| near_bias ws b b' : Rabs b <= Rabs b' -> (b = 0 -> b' = 0) -> Rabs (b - b') <= far ->
    near far (Linear ws [b]) (Linear ws [b']).

Lemma near_operands far o o' : near far o o' -> operands o = operands o'.
Proof. now destruct 1. Qed.

(** ** Roundings *)

Lemma sorted_exists (l : list R) : exists m, Permutation l m /\ descending m.
Proof.
  assert (I : forall x m, descending m -> exists m', Permutation (x :: m) m' /\ descending m' /\
    (forall y, HdRel (fun a b => b <= a) y m -> x <= y -> HdRel (fun a b => b <= a) y m')).
  { intros x m. induction m as [|z m IH]; intros D.
    - exists [x]. repeat split; [apply Permutation_refl|repeat constructor|]. intros y _ H. now constructor.
    - destruct (Rle_dec z x) as [H|H].
      + exists (x :: z :: m). split; [apply Permutation_refl|]. split; [constructor; [exact D|now constructor]|].
        intros y _ Hy. now constructor.
      + inversion_clear D as [|? ? D1 D2]. destruct (IH D1) as (m' & P & S & B). exists (z :: m').
        split; [apply perm_trans with (z :: x :: m); [apply perm_swap|now constructor]|].
        split; [constructor; [exact S|apply B; [exact D2|lra]]|]. intros y Hy _. inversion_clear Hy. now constructor. }
  induction l as [|x l (m & P & D)]; [exists []; split; constructor|]. destruct (I x m D) as (m' & P' & D' & _).
  exists m'. split; [|exact D']. apply perm_trans with (2 := P'). now constructor.
Qed.

(** Smaller terms, 0 where they were and nowhere else. *)
Definition below_it (x y : R) : Prop := 0 <= x <= y /\ (x = 0 -> y = 0).

Lemma below_it_live l m : Forall2 below_it l m ->
  Forall2 Rle (filter nonzero l) (filter nonzero m) /\ nonneg (filter nonzero l) /\
  nonneg (filter nonzero m).
Proof.
  unfold nonneg. induction 1 as [|x y l m [H H0] _ (IH1 & IH2 & IH3)]; [repeat split; constructor|]. cbn [filter].
  assert (E : nonzero x = nonzero y).
  { destruct (nonzero x) eqn:A, (nonzero y) eqn:B; try reflexivity.
    - apply nonzero_0 in B. subst y. assert (x = 0) by lra. apply nonzero_0 in H1. congruence.
    - apply nonzero_0 in A. apply H0, nonzero_0 in A. congruence. }
  rewrite E. destruct (nonzero y); [|now repeat split].
  repeat split; (constructor; [|assumption]); lra.
Qed.

Lemma total_below l m : Forall2 Rle l m -> total l <= total m.
Proof. unfold total. induction 1; simpl; lra. Qed.

Lemma total_same l m : Permutation l m -> total l = total m.
Proof. unfold total. induction 1; simpl; lra. Qed.

Lemma nonneg_perm l m : Permutation l m -> nonneg l -> nonneg m.
Proof. intros P. unfold nonneg. now apply Permutation_Forall. Qed.

Lemma sum_noise_below bs bs' F P W X E : Forall2 below_it bs bs' -> sum_noise bs' F P W X E -> sum_noise bs F P W X E.
Proof.
  intros H (m' & h & c & f & Hm & Hd & Hn & Hh & Hf & Hc & HE & Hl).
  destruct (below_it_live _ _ H) as (L & N & N'). destruct (sorted_exists (filter nonzero bs)) as (m & Pm & Dm).
  assert (Len : length m = length m').
  { rewrite <- (Permutation_length Pm), <- (Permutation_length Hm). clear -L. induction L; simpl; congruence. }
  assert (T : total m <= total m').
  { rewrite <- (total_same _ _ Pm), <- (total_same _ _ Hm). now apply total_below. }
  assert (C : climb c f m <= climb c f m').
  { rewrite <- (worst_sorted c f m), <- (worst_sorted c f m') by (try assumption; eapply nonneg_perm; eassumption).
    rewrite <- (worst_perm c f _ _ Pm), <- (worst_perm c f _ _ Hm). apply worst_le; [lra|exact L]. }
  exists m, h, c, f. rewrite Len. repeat (split; [assumption|]). split; [|split; [lra|split]].
  - apply Rle_trans with (2 := Hf). unfold Rmin. repeat destruct Rle_dec; lra.
  - apply Rle_trans with (2 := HE). apply Rplus_le_compat_r. assert (Hu := u_pos).
    apply Rmult_le_compat_r; [apply Rlt_le, Rinv_0_lt_compat; lra|]. apply Rmult_le_compat_l; [lra|].
    unfold Layers.roundings. lra.
  - lra.
Qed.

Lemma near_noise far o o' X F rho : (forall j, In j (operands o) -> 0 <= X j) -> near far o o' -> noise X F o' rho ->
  noise X F o rho.
Proof.
  intros HX N. destruct N as [|ws b b' Hb H0 _]; [easy|]. cbn [noise operands] in *. intros (Xm & Xp & HXm & H). exists Xm.
  split; [exact Xp|]. split; [exact HXm|].
  refine (sum_noise_below _ _ _ _ _ _ _ _ H). apply Forall2_app.
  - clear -HX. induction ws as [|[w j] ws IH]; [constructor|]. constructor; [|apply IH; intros; apply HX; simpl; now right].
    cbn [fst snd]. split; [|easy]. split; [|lra]. apply Rmult_le_pos; [apply Rabs_pos|apply HX; simpl; now left].
  - constructor; [|constructor]. split; [split; [apply Rabs_pos|exact Hb]|]. intros Z. rewrite H0; [apply Rabs_R0|].
    destruct (Req_dec b 0) as [|N]; [assumption|]. now apply Rabs_no_R0 in N.
Qed.

(** ** Annotations *)

Lemma near_ideal far ws b b' v r : Rabs (b - b') <= far ->
  Rabs (ideal (Linear ws [b]) v r - ideal (Linear ws [b']) v r) <= far /\
  (forall v' r', ideal (Linear ws [b]) v' r' - ideal (Linear ws [b]) v r =
    ideal (Linear ws [b']) v' r' - ideal (Linear ws [b']) v r).
Proof.
  intros H. assert (E : forall c v r, ideal (Linear ws [c]) v r = exact_sum (products ws r) + c).
  { intros. cbn [ideal]. unfold exact_sum. rewrite map_app, total_app. cbn. unfold total. simpl. lra. }
  split; [|intros]; rewrite !E; [|lra]. replace (_ - _) with (b - b') by ring. exact H.
Qed.

Section Near.
Variables (far : R) (net net' : network) (ann : annotation) (bound : R).
Hypothesis same_pixels : pixels net = pixels net'.
Hypothesis same_logits : logits net = logits net'.
Hypothesis near_units : Forall2 (near far) (units net) (units net').
Hypothesis room : forall k ws bs, nth_error (units net') k = Some (Linear ws bs) ->
  affine k (Linear ws bs) (kept ann k) (offset ann k) /\ far <= rest ann k.
Hypothesis errors_pos : forall k, (k < length (units net'))%nat -> 0 <= err ann k.
Hypothesis V : valid net' ann bound.

Lemma near_length : length (units net) = length (units net').
Proof. generalize near_units. generalize (units net) (units net'). induction 1; simpl; congruence. Qed.

Lemma near_nth k o : nth_error (units net) k = Some o -> exists o', nth_error (units net') k = Some o' /\ near far o o'.
Proof.
  revert k. generalize near_units. generalize (units net) (units net'). clear. intros l m K.
  induction K as [|x y l m H _ IH]; intros [|k] E; try discriminate; [|exact (IH k E)]. injection E as <-. now exists y.
Qed.

Lemma magnitude_pos k : (k < length (units net'))%nat -> 0 <= magnitude ann k.
Proof.
  intros Hk. unfold magnitude, radius. assert (0 <= over k (fun g => Rabs (columns ann k g) * err ann g)).
  { apply over_pos. intros g Hg. apply Rmult_le_pos; [apply Rabs_pos|apply errors_pos; lia]. }
  assert (P := Rabs_pos (centre ann k)). assert (E := errors_pos k Hk). lra.
Qed.

Theorem near_valid : valid net ann bound.
Proof.
  constructor.
  - intros k o Ho j Hj. destruct (near_nth k o Ho) as (o' & Ho' & N). rewrite (near_operands _ _ _ N) in Hj.
    exact (ordered _ _ _ V k o' Ho' j Hj).
  - intros k o Ho. destruct (near_nth k o Ho) as (o' & Ho' & N).
    destruct (roundings _ _ _ V k o' Ho') as (X & F & HX & HF & Hn).
    exists X, F. rewrite (near_operands _ _ _ N). split; [exact HX|]. split; [exact HF|].
    refine (near_noise far o o' X F _ _ N Hn). rewrite (near_operands _ _ _ N). intros j Hj.
    apply Rle_trans with (2 := HX j Hj). apply magnitude_pos.
    apply Nat.lt_trans with k; [exact (ordered _ _ _ V k o' Ho' j Hj)|].
    apply nth_error_Some. congruence.
  - intros k o Ho v r Hv Hr. destruct (near_nth k o Ho) as (o' & Ho' & N).
    destruct N as [o|ws b b' _ _ Hb]; [exact (values _ _ _ V k o Ho' v r Hv Hr)|]. destruct (room k _ _ Ho') as [A Hf].
    destruct (near_ideal far ws b b' v r Hb) as [D _]. rewrite (A v r) in D. unfold read_through.
    apply Rle_trans with (2 := Hf). apply Rle_trans with (2 := D). right. f_equal. ring.
  - intros k o Ho q v v' r r' Hq. rewrite same_pixels in Hq. destruct (near_nth k o Ho) as (o' & Ho' & N).
    assert (C := changes _ _ _ V k o' Ho' q v v' r r' Hq). destruct N as [o|ws b b' _ _ Hb]; [exact C|].
    now rewrite (proj2 (near_ideal far ws b b' v r Hb) v' r').
  - intros k Hk. rewrite near_length in Hk. exact (errors _ _ _ V k Hk).
  - intros q k Hq Hk. rewrite same_pixels in Hq. rewrite near_length in Hk. exact (owns _ _ _ V q k Hq Hk).
  - intros c Hc. rewrite near_length. unfold logit. rewrite same_logits in *. exact (logits_there _ _ _ V c Hc).
  - rewrite same_logits. exact (few_classes _ _ _ V).
  - intros q c j Hq Hc Hj. rewrite same_pixels in Hq. rewrite same_logits in Hc, Hj.
    assert (B := bounded _ _ _ V q c j Hq Hc Hj). unfold logit_bound, difference, logit in *.
    now rewrite near_length, same_logits.
Qed.
End Near.
